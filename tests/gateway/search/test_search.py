"""Objects are found by name, id and masked key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text as sql

from gateway.auth.keys import generate_key
from gateway.ids import new_id
from gateway.runs.store import RunStore
from gateway.search import store
from gateway.storage.tables import ApiKey, Flow
from gateway.storage.webhook_tables import WebhookDelivery
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json
from tests.gateway.runs.builders import finished, new_run
from tests.gateway.runs.test_queries import asked, plan_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Json = dict[str, Any]
SEARCH = "/node/search/"
FLOWS = "/node/flows/"
KEYS = "/node/api-keys/"


async def find(user: httpx.AsyncClient, q: str, **query: object) -> list[Json]:
    """Return what a search finds."""
    answer = await user.get(SEARCH, params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def titles(user: httpx.AsyncClient, q: str, kind: str) -> list[str]:
    """Return the titles of what is found of a kind."""
    return [item["title"] for item in await find(user, q, limit=50) if item["kind"] == kind]


async def save(user: httpx.AsyncClient, name: str) -> str:
    """Save a flow and return its id."""
    made = await user.post(FLOWS, json={**flow_json(), "name": name})
    id_: str = made.json()["id"]
    return id_


async def test_each_kind_is_found_by_name_or_id(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    flow = {**flow_json(), "name": "MLP flow"}
    made = await deploy(user, flow, name="mlp for shops", execution_mode="async")
    key = (await user.post(KEYS, json={"name": "mlp key"})).json()
    run = new_run(
        profile_id=user.headers["x-test-profile"],
        deployment_id=made["id"],
        flow_id=made["flow_id"],
    )
    await RunStore(in_process_gateway.db).create(run)
    by_name = {
        "flow": {
            "kind": "flow",
            "id": made["flow_id"],
            "title": "MLP flow",
            "subtitle": None,
            "state": None,
        },
        "deployment": {
            "kind": "deployment",
            "id": made["id"],
            "title": "mlp for shops",
            "subtitle": "async, version 1",
            "state": "active",
        },
        "model": {
            "kind": "model",
            "id": "mlp",
            "title": "mlp",
            "subtitle": "version 2",
            "state": None,
        },
        "api_key": {
            "kind": "api_key",
            "id": key["id"],
            "title": "mlp key",
            "subtitle": key["masked"],
            "state": "active",
        },
    }
    found = await find(user, "mLp")
    assert [item for item in found if item["title"] in {"MLP flow", "mlp for shops", "mlp"}] == [
        by_name["flow"],
        by_name["deployment"],
        by_name["model"],
    ]
    assert by_name["api_key"] in found
    of_run = {
        "kind": "run",
        "id": run.id,
        "title": "mlp for shops",
        "subtitle": "version 1",
        "state": "queued",
    }
    for id_, item in (
        (made["flow_id"], by_name["flow"]),
        (made["id"], by_name["deployment"]),
        (key["id"], by_name["api_key"]),
        (run.id, of_run),
    ):
        for part in (id_, id_[:20].upper(), id_[:8]):
            assert item in await find(user, part), part
        assert await find(user, id_) == [item]
        assert await find(user, id_[:7]) == []
    assert await find(user, f"req_{run.id}") == [of_run]
    async with in_process_gateway.db.write() as session:
        session.add(
            WebhookDelivery(
                message_id="msg_5yqQ",
                profile_id=user.headers["x-test-profile"],
                endpoint_id=new_id(),
                deployment_id=made["id"],
                event="run.completed",
                payload=b"{}",
                status="pending",
            )
        )
    assert await find(user, "msg_5yqQ") == [
        {
            "kind": "webhook_delivery",
            "id": "msg_5yqQ",
            "title": "run.completed",
            "subtitle": "mlp for shops",
            "state": "pending",
        }
    ]


async def test_names_are_found_by_the_beginning_of_each_word(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for name in ("churn-rules", "Rules of churn", "returned", "100% sure"):
        await save(user, name)
    assert await titles(user, "chu", "flow") == ["churn-rules", "Rules of churn"]
    assert await titles(user, "RULES", "flow") == ["Rules of churn", "churn-rules"]
    assert await titles(user, "turned", "flow") == []
    assert await titles(user, "100%", "flow") == ["100% sure"]
    assert await titles(user, "%", "flow") == await titles(user, "_", "flow") == []
    assert await find(user, "  ") == []


async def test_a_deleted_deployment_is_not_found(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), name="gone soon", execution_mode="async")
    assert await titles(user, "gone", "deployment") == ["gone soon"]
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    assert await titles(user, "gone", "deployment") == []
    assert await titles(user, made["id"], "deployment") == []


async def test_a_key_is_found_by_its_mask(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    shop, other = [(await user.post(KEYS, json={"name": n})).json() for n in ("shop", "other")]
    masked: str = shop["masked"]
    start, end = masked[:8], masked[-5:]
    for part in (masked, f"{start}…{end}", f"{start}...{end[:2]}", start, f"{start}***"):
        assert "shop" in await titles(user, part, "api_key"), part
    assert {"shop", "other"} <= set(await titles(user, "sk-", "api_key"))
    wrong = f"{start}********{'0' if end[0] != '0' else '1'}{end[1:]}"
    assert await titles(user, wrong, "api_key") == []
    assert await titles(user, masked.swapcase(), "api_key") == []
    await user.post(f"{KEYS}{shop['id']}/deactivate/")
    (found,) = await find(user, masked)
    assert (found["id"], found["state"]) == (shop["id"], "deactivated")
    assert other["masked"] not in str(found)


@pytest.mark.parametrize("around", ["{}", "curl -H 'X-API-Key: {}'", "{}" + "x" * 200])
async def test_a_complete_key_is_refused_and_not_repeated(
    in_process_gateway: InProcessGateway, around: str, capfd: pytest.CaptureFixture[str]
) -> None:
    user = await in_process_gateway.user()
    key = generate_key()
    answer = await user.get(SEARCH, params={"q": around.format(key)})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert key[8:-5] not in answer.text
    said = capfd.readouterr()
    assert key[8:-5] not in said.out + said.err


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "x" * 201}, {"q": "a\x00b"}])
async def test_a_malformed_search_is_refused(
    in_process_gateway: InProcessGateway, query: Json
) -> None:
    user = await in_process_gateway.user()
    assert (await user.get(SEARCH, params=query)).status_code == 422
    assert (await user.get(SEARCH, params={"q": "a", "limit": 51})).status_code == 422


async def test_users_find_only_their_own(in_process_gateway: InProcessGateway) -> None:
    ada = await in_process_gateway.user()
    bob = await in_process_gateway.user("bob@example.com")
    made = await deploy(
        ada, {**flow_json(), "name": "secret"}, name="secret", execution_mode="async"
    )
    key = (await ada.post(KEYS, json={"name": "secret"})).json()
    run = new_run(profile_id=ada.headers["x-test-profile"], deployment_id=made["id"])
    await RunStore(in_process_gateway.db).create(run)
    for q in ("secret", made["id"], made["flow_id"], key["id"], key["masked"], run.id, run.id[:8]):
        assert await find(ada, q), q
        assert await find(bob, q) == [], q


async def test_each_kind_gets_its_share_of_the_limit(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for at in range(5):
        await save(user, f"mlp {at}")
    await user.post(KEYS, json={"name": "mlp"})
    found = await find(user, "mlp", limit=4)
    assert [item["kind"] for item in found] == ["flow", "flow", "model", "api_key"]


async def test_a_search_looks_at_a_bounded_number_of_rows(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await in_process_gateway.user()
    ids = [await save(user, f"f{at}") for at in range(3)]
    monkeypatch.setattr(store, "MAX_EXAMINED", 2)
    assert await titles(user, "f", "flow") == ["f2", "f1"]
    assert await titles(user, "f0", "flow") == []
    assert await titles(user, ids[0], "flow") == ["f0"], "ids are found by their own index"


async def test_no_query_of_a_search_scans_a_table(in_process_gateway: InProcessGateway) -> None:
    db = in_process_gateway.db
    user, other = [await in_process_gateway.user(f"{name}@example.com") for name in ("ada", "bob")]
    made = await deploy(user, flow_json(), execution_mode="async")
    run = new_run(profile_id=user.headers["x-test-profile"], deployment_id=made["id"])
    await RunStore(db).create(run)
    await crowd(in_process_gateway, other.headers["x-test-profile"])
    services = in_process_gateway.services
    profile = user.headers["x-test-profile"]
    for text in ("iris", "sk-EuT6", "sk-EuT64********vsQa1", made["id"], run.id[:8], "msg_x"):
        searching = services.search.find(profile, text, 20)
        plans = [await plan_of(db, *one) for one in await asked(db, searching)]
        assert plans, text
        for plan in plans:
            for table in ("flows", "api_keys", "runs"):
                assert f"Seq Scan on {table}" not in plan, (text, plan)
                assert f"SCAN {table}" not in plan, (text, plan)


async def crowd(gateway: InProcessGateway, profile_id: str) -> None:
    """Store thousands of rows of a user, and let the database know of them."""
    flow = {"name": "f", "definition": {"nodes": [], "edges": []}}
    key = {"name": "k", "scope": "trigger", "display_prefix": "sk-12345", "display_suffix": "12345"}
    async with gateway.db.write() as session:
        session.add_all(Flow(profile_id=profile_id, **flow) for _ in range(3000))
        session.add_all(
            ApiKey(profile_id=profile_id, hash=new_id().replace("-", "") * 2, **key)
            for _ in range(3000)
        )
    runs = RunStore(gateway.db)
    for _ in range(3):
        await runs.record_finished([finished(profile_id=profile_id) for _ in range(1000)])
    async with gateway.db.write() as session:
        await session.execute(sql("ANALYZE"))
