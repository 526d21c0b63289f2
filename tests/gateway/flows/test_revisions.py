"""Revisions of flows, and conditional changes by console sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from gateway.auth.identity import Scope
from gateway.flows.revisions import MAX_NAMED, MAX_UNNAMED
from gateway.storage.clock import now
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.tables import Flow
from tests.gateway.in_process_gateway import InProcessGateway, flow_json
from tests.gateway.served_gateway import ServedGateway

Json = dict[str, Any]
FLOWS = "/node/flows/"


async def save(user: httpx.AsyncClient) -> str:
    """Save a flow, and return its path."""
    return f"{FLOWS}{(await user.post(FLOWS, json=flow_json())).json()['id']}/"


async def rename(user: httpx.AsyncClient, path: str, name: str) -> None:
    """Save the flow with another name."""
    assert (await user.patch(path, json={"name": name})).status_code == 200


async def listed(user: httpx.AsyncClient, path: str) -> list[tuple[int, str, str | None]]:
    """Return number, flow name and name of each revision."""
    items = (await user.get(f"{path}revisions/", params={"limit": 200})).json()["items"]
    return [(one["number"], one["flow_name"], one["name"]) for one in items]


async def pass_a_minute(gateway: InProcessGateway) -> None:
    """Make all revisions older than they are."""
    async with gateway.db.write() as session:
        await session.execute(
            update(FlowRevision)
            .where(FlowRevision.created_at > now() - timedelta(seconds=59))
            .values(created_at=now() - timedelta(seconds=61))
        )


@pytest.mark.databases("sqlite", "postgresql")
async def test_saves_within_a_minute_are_one_revision(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    assert await listed(user, path) == [(1, "Iris classifier", None)]
    await rename(user, path, "B")
    assert await listed(user, path) == [(1, "B", None)]
    await pass_a_minute(in_process_gateway)
    await rename(user, path, "B")
    assert await listed(user, path) == [(1, "B", None)], "nothing has changed"
    await rename(user, path, "C")
    await rename(user, path, "D")
    assert await listed(user, path) == [(2, "D", None), (1, "B", None)]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_revision_has_the_graph_of_its_time(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    await pass_a_minute(in_process_gateway)
    await user.put(path, json=flow_json("scaled"))
    first, second = [(await user.get(f"{path}revisions/{n}/")).json() for n in (1, 2)]
    assert first["nodes"] == flow_json()["nodes"]
    assert second["nodes"] == flow_json("scaled")["nodes"]
    assert first["created_by"] == user.headers["x-test-profile"]
    assert first["created_by_key"] is not None
    restored = await user.put(path, json={**first, "name": first["flow_name"]})
    assert restored.json()["nodes"] == flow_json()["nodes"]
    for number in ("3", "999999999"):
        assert (await user.get(f"{path}revisions/{number}/")).status_code == 404


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_named_revision_is_not_replaced(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    named = await user.post(f"{path}revisions/", json={"name": "Good"})
    assert (named.status_code, named.json()["number"]) == (201, 1)
    await rename(user, path, "B")
    again = await user.post(f"{path}revisions/", json={"name": "Better"})
    twice = await user.post(f"{path}revisions/", json={"name": "Best"})
    assert (again.json()["number"], twice.json()["number"]) == (2, 3)
    assert await listed(user, path) == [
        (3, "B", "Best"),
        (2, "B", "Better"),
        (1, "Iris classifier", "Good"),
    ]


async def test_another_author_has_a_revision_of_their_own(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    issued = (await user.post("/node/api-keys/", json={"name": "m", "scope": "manage"})).json()
    await rename(in_process_gateway.client({"x-api-key": issued["key"]}), path, "B")
    assert await listed(user, path) == [(2, "B", None), (1, "Iris classifier", None)]


async def test_a_flow_of_an_older_release_keeps_what_it_was(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    async with in_process_gateway.db.write() as session:
        await session.execute(delete(FlowRevision))
    await rename(user, path, "B")
    assert await listed(user, path) == [(2, "B", None), (1, "Iris classifier", None)]
    old = (await user.get(f"{path}revisions/1/")).json()
    assert (old["created_by"], old["nodes"]) == (None, flow_json()["nodes"])


async def save_with_an_older_release(gateway: InProcessGateway, name: str) -> None:
    """Save all flows with another name and no revision."""
    async with gateway.db.write() as session:
        await session.execute(update(Flow).values(name=name, updated_at=now()))


async def test_what_an_older_release_saved_in_between_is_kept(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    await save_with_an_older_release(in_process_gateway, "between")
    await rename(user, path, "C")
    assert await listed(user, path) == [
        (3, "C", None),
        (2, "between", None),
        (1, "Iris classifier", None),
    ]
    between = (await user.get(f"{path}revisions/2/")).json()
    assert (between["created_by"], between["nodes"]) == (None, flow_json()["nodes"])


async def test_a_name_is_that_of_the_draft_which_an_older_release_saved(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    await save_with_an_older_release(in_process_gateway, "between")
    named = await user.post(f"{path}revisions/", json={"name": "Good"})
    assert (named.json()["number"], named.json()["created_by"]) == (2, None)
    assert await listed(user, path) == [(2, "between", "Good"), (1, "Iris classifier", None)]


@pytest.mark.databases("sqlite", "postgresql")
async def test_old_revisions_are_deleted(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    for number in range(MAX_NAMED + 2):
        await user.post(f"{path}revisions/", json={"name": f"n{number}"})
    for number in range(MAX_UNNAMED + 2):
        await rename(user, path, f"f{number}")
        await pass_a_minute(in_process_gateway)
    found = await listed(user, path)
    named = [name for _, _, name in found if name is not None]
    assert named == [f"n{number}" for number in range(MAX_NAMED + 1, 1, -1)]
    assert [flow for _, flow, name in found if name is None] == [
        f"f{number}" for number in range(MAX_UNNAMED + 1, 1, -1)
    ]


@pytest.mark.databases("sqlite", "postgresql")
async def test_large_revisions_are_bounded_by_their_size(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    flow = flow_json()
    for number in range(12):
        flow["nodes"][0]["note"] = chr(97 + number) * 3_500_000
        assert (await user.put(path, json={**flow, "name": f"f{number}"})).status_code == 200
        await pass_a_minute(in_process_gateway)
    found = await listed(user, path)
    assert found[0][1] == "f11"
    assert len(found) == 9


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deleted_flow_has_no_revisions(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path = await save(user)
    assert (await user.delete(path)).status_code == 204
    assert (await user.get(f"{path}revisions/")).status_code == 404
    async with in_process_gateway.db.read() as session:
        assert await session.get(FlowRevision, path) is None


@pytest.mark.processes
async def test_a_session_replaces_a_flow_only_with_its_etag(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.user("ada@example.com")
    browser = await served_gateway.browser(ada)
    made = await browser.post(FLOWS, json=flow_json())
    path, etag = f"{FLOWS}{made.json()['id']}/", made.headers["etag"]
    refused = await browser.put(path, json=flow_json("scaled"))
    assert (refused.status_code, refused.json()["code"]) == (428, "precondition_required")
    assert refused.json()["etag"] == etag
    saved = await browser.put(path, json=flow_json("scaled"), headers={"if-match": etag})
    assert saved.status_code == 200
    late = await browser.put(path, json=flow_json(), headers={"if-match": etag})
    assert (late.status_code, late.json()["etag"]) == (412, saved.headers["etag"])
    key = await served_gateway.key_client(ada, Scope.MANAGE)
    assert (await key.put(path, json=flow_json())).status_code == 200
