"""Test runs of drafts, which no deployment has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from gateway.auth.identity import Role, Scope
from gateway.ids import NIL_ID
from gateway.metrics import GatewayMetrics
from gateway.runs.retention import KeptForDay
from gateway.storage.clock import now
from gateway.storage.run_tables import RunDraft, RunRow
from gateway.storage.webhook_tables import WebhookDelivery
from gateway.usage.run_counter import RunCounter
from gateway.usage.store import UsageStore
from tests.gateway.flows.flow_builder import INPUT, build_flow, node, transform
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.served_gateway import ServedGateway

Json = dict[str, Any]
TEST = "/node/flows/test/"
RUNS = "/node/flow-runs/"
FLOW = build_flow(
    "input>twice twice>output",
    node("input", "api_input", test_data={"x": 4}),
    transform("twice", y="input.x * 2"),
    node("output", "api_output", fields={"z": "twice.y + 1"}),
)
WITH_MODEL = {
    "nodes": [*FLOW["nodes"], node("model", "inference", model="mlp", inputs={"x": "input.x"})],
    "edges": [*FLOW["edges"], {"source": "input", "target": "model"}],
}

pytestmark = pytest.mark.processes


@pytest.fixture
async def ada(served_gateway: ServedGateway) -> httpx.AsyncClient:
    """A user's client."""
    profile = await served_gateway.user("ada@example.com", Role.MEMBER)
    return await served_gateway.key_client(profile, Scope.MANAGE)


async def started(client: httpx.AsyncClient, **body: Any) -> Json:
    """Start a test, and return the answer."""
    answer = await client.post(TEST, json={**FLOW, **body})
    assert answer.status_code == 202, answer.text
    run: Json = answer.json()
    assert answer.headers["location"] == f"{RUNS}{run['flow_run_id']}/"
    return run


async def ended(gateway: ServedGateway, client: httpx.AsyncClient, run: Json) -> Json:
    """Wait for all runs of the gateway, and return one."""
    await gateway.container.execution.pool.drain(60)
    found: Json = (await client.get(f"{RUNS}{run['flow_run_id']}/")).json()
    return found


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_draft_runs_with_its_test_data(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    run = await started(ada)
    assert (run["status"], run["test"], run["deployment_id"]) == ("queued", True, NIL_ID)
    found = await ended(served_gateway, ada, run)
    assert (found["status"], found["output_data"], found["test"]) == ("completed", {"z": 9}, True)
    assert found["node_outputs"]["twice"]["output"] == {"y": 8}
    events = await ada.get(f"{RUNS}{run['flow_run_id']}/events/")
    assert "event: node" in events.text
    (listed,) = (await ada.get(RUNS)).json()["items"]
    assert listed["test"] is True
    refused = await ada.post(f"{RUNS}{run['flow_run_id']}/retry/")
    assert refused.status_code == 409


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ({"until": "twice", "input_data": {"x": 1}}, {"twice": {"y": 2}}),
        ({"only": "output", "pins": {"twice": {"y": 5}}}, {"twice": {"y": 5}}),
        ({"pins": {"twice": {"y": 3}}}, {"twice": {"y": 3}}),
        ({**WITH_MODEL, "pins": {"model": {"label": [1]}}}, {"model": {"label": [1]}}),
        ({**WITH_MODEL, "until": "twice"}, {"twice": {"y": 8}}),
    ],
)
async def test_parts_of_a_draft_run(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, body: Json, outputs: Json
) -> None:
    found = await ended(served_gateway, ada, await started(ada, **body))
    assert found["error"] is None
    shown = {name: one.get("output") for name, one in found["node_outputs"].items()}
    assert outputs.items() <= shown.items()


async def test_a_test_leaves_no_webhook_and_no_usage(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    flow = (await ada.post("/node/flows/", json=flow_json())).json()
    hook = {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}
    await ada.post("/node/deployments/", json={"flow_id": flow["id"], **hook})
    found = await ended(served_gateway, ada, await started(ada, flow_id=flow["id"]))
    assert (found["status"], found["flow_id"]) == ("completed", flow["id"])
    counter = RunCounter(UsageStore(served_gateway.db), GatewayMetrics(), behind=-60.0)
    assert await counter.count() == 0
    async with served_gateway.db.read() as session:
        assert (await session.scalars(select(WebhookDelivery))).all() == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_test_is_kept_for_a_day(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    await ended(served_gateway, ada, await started(ada))
    store = served_gateway.container.execution.store
    month = now() - timedelta(days=30)
    assert await KeptForDay(store.prune_tests).prune(month) == 0, "it is not a day old"
    assert await store.prune_tests(now() + timedelta(seconds=60)) == 1
    async with served_gateway.db.read() as session:
        for table in (RunRow, RunDraft):
            assert (await session.scalars(select(table))).all() == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_tests_are_deleted_with_other_runs(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    await ended(served_gateway, ada, await started(ada))
    until = (now() + timedelta(minutes=1)).isoformat()
    assert (await ada.delete(RUNS, params={"to": until})).json() == {"deleted": 1}


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_cleanup_of_deleted_deployments_leaves_tests(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    await served_gateway.container.execution.pool.drain(0)
    run = await started(ada)
    await served_gateway.container.execution.cleanup.sweep()
    assert (await ada.get(f"{RUNS}{run['flow_run_id']}/")).json()["status"] == "queued"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_user_has_a_limited_number_of_tests(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    await served_gateway.container.execution.pool.drain(0)
    for _ in range(20):
        await started(ada)
    refused = await ada.post(TEST, json=FLOW)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_runs")
    other = await served_gateway.user("bob@example.com", Role.MEMBER)
    await started(await served_gateway.key_client(other, Scope.MANAGE))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"nodes": [INPUT, transform("a", x="1 +")]}, "invalid_flow"),
        ({**flow_json("unknown"), "input_data": {}}, "invalid_flow"),
        ({**flow_json(), "input_data": {"x": "no tensor"}}, "invalid_tensor"),
        (
            {"nodes": [node("input", "api_input", schema={"required": ["q"]})], "edges": []},
            "invalid_input",
        ),
        ({"until": "nothing"}, "validation_failed"),
        ({"flow_id": NIL_ID}, "not_found"),
        ({"timeout_seconds": 0}, "validation_failed"),
    ],
)
async def test_what_cannot_be_tested_is_refused(
    ada: httpx.AsyncClient, body: Json, code: str
) -> None:
    refused = await ada.post(TEST, json={**FLOW, **body})
    assert refused.json()["code"] == code, refused.text
    assert (await ada.get(RUNS)).json()["items"] == []
