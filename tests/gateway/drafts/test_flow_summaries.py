"""The list of flows with their deployments, last runs and authors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.drafts.flow_summaries import MAX_PAGE
from gateway.ids import new_id
from gateway.runs.store import RunStore
from gateway.storage.tables import Flow
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, flow_json
from tests.gateway.runs.builders import failed, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Json = dict[str, Any]
FLOWS = "/node/flows/"


async def save(user: httpx.AsyncClient, name: str) -> Json:
    """Save a flow."""
    made: Json = (await user.post(FLOWS, json={**flow_json(), "name": name})).json()
    return made


async def summaries(user: httpx.AsyncClient, **query: object) -> list[Json]:
    """Return all summaries, in pages of two."""
    found: list[Json] = []
    cursor: str | None = None
    while True:
        params = {"view": "summary", "limit": 2, **query, **({"cursor": cursor} if cursor else {})}
        answer = await user.get(FLOWS, params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


async def test_a_summary_of_a_draft(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await user.post(FLOWS, json=flow_json())
    (found,) = await summaries(user)
    assert found == {
        "id": made.json()["id"],
        "name": "Iris classifier",
        "nodes": 3,
        "kinds": {"api_input": 1, "inference": 1, "api_output": 1},
        "models": ["mlp"],
        "deployments": {"count": 0, "live": [], "differs": False},
        "last_run": None,
        "created_at": made.json()["created_at"],
        "updated_at": made.json()["updated_at"],
        "updated_by": "ada@example.com",
        "etag": made.headers["etag"],
    }


async def test_deployments_and_the_last_run_of_a_flow(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    flow = await save(user, "f")
    made = [
        (await user.post(DEPLOYMENTS, json={"flow_id": flow["id"], "name": f"d{at}"})).json()
        for at in range(12)
    ]
    await user.delete(f"{DEPLOYMENTS}{made.pop()['id']}/")
    store = RunStore(in_process_gateway.db)
    for deployment in (made[3], made[4]):
        run = new_run(
            profile_id=user.headers["x-test-profile"],
            deployment_id=deployment["id"],
            flow_id=flow["id"],
            mode=ExecutionMode.ASYNC,
            type=DeploymentType.SERVER,
        )
        await store.create(run)
        await store.claim(run.id, "worker")
        await store.finish(run.id, 1, failed())
    (found,) = await summaries(user)
    live = found["deployments"]["live"]
    assert found["deployments"]["count"] == 11
    assert [one["name"] for one in live] == [f"d{at}" for at in range(10, 0, -1)]
    assert not found["deployments"]["differs"]
    assert (found["last_run"]["id"], found["last_run"]["status"]) == (run.id, "failed")
    moved = {**flow_json(), "name": "f"}
    moved["nodes"][0]["position"] = {"x": 1}
    await user.put(f"{FLOWS}{flow['id']}/", json=moved)
    assert not (await summaries(user))[0]["deployments"]["differs"], "the layout is no change"
    await user.put(f"{FLOWS}{flow['id']}/", json={**flow_json("scaled"), "name": "f"})
    await user.post(f"{DEPLOYMENTS}{made[9]['id']}/redeploy/")
    changed = (await summaries(user))[0]["deployments"]
    assert changed["differs"]
    assert [one["name"] for one in changed["live"] if not one["differs"]] == ["d9"]


async def test_live_graphs_are_read_one_at_a_time_where_the_draft_is_later(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for at in range(2):
        flow = await save(user, f"f{at}")
        for _ in range(2):
            await user.post(DEPLOYMENTS, json={"flow_id": flow["id"]})
    await user.put(f"{FLOWS}{flow['id']}/", json={**flow_json("scaled"), "name": "f1"})
    with statements(in_process_gateway.db) as asked:
        changed, unchanged = await summaries(user)
    assert [one["differs"] for one in changed["deployments"]["live"]] == [True, True]
    assert not unchanged["deployments"]["differs"]
    assert len([one for one in asked if "deployment_versions.definition" in one]) == 2


async def test_a_page_of_summaries_is_bounded(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    async with in_process_gateway.db.write() as session:
        session.add_all(
            Flow(
                id=new_id(),
                profile_id=user.headers["x-test-profile"],
                name="f",
                definition={"nodes": [], "edges": []},
            )
            for _ in range(MAX_PAGE + 1)
        )
    page = (await user.get(FLOWS, params={"view": "summary", "limit": 200})).json()
    assert len(page["items"]) == MAX_PAGE
    assert page["next_cursor"] is not None


async def test_flows_are_sorted_and_filtered_across_pages(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    ids = {name: (await save(user, name))["id"] for name in ("b 1", "a", "d%", "C", "b")}
    await user.patch(f"{FLOWS}{ids['a']}/", json={"name": "a2"})

    async def names(**query: object) -> list[str]:
        return [one["name"] for one in await summaries(user, **query)]

    assert await names() == ["b", "C", "d%", "a2", "b 1"]
    assert await names(sort="updated") == ["a2", "b", "C", "d%", "b 1"]
    assert sorted(await names(sort="name")) == ["C", "a2", "b", "b 1", "d%"]
    assert await names(sort="name", q="B") == ["b", "b 1"]
    assert await names(q="%") == ["d%"]
    full = (await user.get(FLOWS, params={"q": "b", "sort": "name"})).json()["items"]
    assert [one["name"] for one in full] == ["b", "b 1"]
    assert "edges" in full[0]
    page = (await user.get(FLOWS, params={"sort": "name", "limit": 1})).json()
    refused = await user.get(FLOWS, params={"cursor": page["next_cursor"]})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


async def test_a_page_takes_the_same_queries_for_any_number_of_flows(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    counts: list[int] = []
    for number in range(2):
        for at in range(1 + 4 * number):
            flow = await save(user, f"f{at}")
            await user.post(DEPLOYMENTS, json={"flow_id": flow["id"]})
        with statements(in_process_gateway.db) as asked:
            await user.get(FLOWS, params={"view": "summary"})
        counts.append(len([one for one in asked if "flow" in one]))
    assert counts[0] == counts[1] > 0
