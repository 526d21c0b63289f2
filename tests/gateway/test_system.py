"""The state of an installation, and what is wrong with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gateway.deployments.settings import ExecutionMode
from gateway.fleet.processes import ProcessStore
from gateway.fleet.service_process import ProcessKind, SeenProcess
from gateway.fleet.states import Desired, State
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import InferenceServer, ServiceProcess
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.runs.builders import new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

WORKER = SeenProcess(kind=ProcessKind.WORKER, name="sync", state=State.READY, concurrency=4)
GATEWAY = SeenProcess(kind=ProcessKind.GATEWAY, name="gateway", state=State.READY)


# Any, here and below: JSON
async def shown(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return the state."""
    answer = await client.get("/node/system/")
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


def problems(state: dict[str, Any]) -> list[tuple[str, str]]:
    """Return area and subject of each problem; each has a text and an advice."""
    assert all(problem["text"] and problem["advice"] for problem in state["problems"])
    return [(problem["area"], problem["subject"]) for problem in state["problems"]]


async def test_processes_queues_and_stores_are_shown(
    in_process_gateway: InProcessGateway, database: Database
) -> None:
    user = await in_process_gateway.user()
    assert ("gateways", "gateway") in problems(await shown(user)), "none has announced itself"
    await ProcessStore(database).write({"w": WORKER, "g": GATEWAY}, None)
    state = await shown(user)
    assert ("gateways", "gateway") not in problems(state)
    (gateway,), (worker,) = state["gateways"], state["workers"]
    assert (gateway["name"], gateway["state"], gateway["slots"]) == ("gateway", "ready", None)
    assert (worker["name"], worker["slots"]) == ("sync", 4)
    assert 0 <= worker["heartbeat_age_seconds"] < 15
    assert [queue["depth"] for queue in state["queues"]] == [0, 0, 0]
    assert state["database"]["kind"] == database.dialect
    assert state["broker"]["kind"] == "folder"
    assert state["store"]["bytes"] > 0
    assert state["store"]["free_bytes"] > 0
    assert state["servers"]["waiting"] == []


async def test_runs_that_wait_and_a_worker_that_is_gone_are_problems(
    in_process_gateway: InProcessGateway, database: Database
) -> None:
    user = await in_process_gateway.user()
    before = problems(await shown(user))
    await ProcessStore(database).write({"w": WORKER}, None)
    for _ in range(2):
        await RunStore(database).create(new_run(mode=ExecutionMode.SYNC))
    ago = now() - timedelta(minutes=5)
    async with database.write() as session:
        await session.execute(update(RunRow).values(created_at=ago))
        await session.execute(update(ServiceProcess).values(lease_until=ago))
    state = await shown(user)
    sync = state["queues"][0]
    assert (sync["name"], sync["depth"]) == ("sync", 2)
    assert 300 <= sync["oldest_seconds"] < 400
    (worker,) = state["workers"]
    assert (worker["state"], worker["heartbeat_age_seconds"] > 300) == ("gone", True)
    found = [problem for problem in problems(state) if problem not in before]
    assert [area for area, _ in found] == ["workers", "queues"]


async def test_a_server_that_should_run_and_does_not_is_a_problem(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post("/node/inference-servers/", json={"model": "mlp"})).json()
    store = in_process_gateway.services.fleet.store
    replica_id = (await store.get(made["id"])).lead.id
    await store.observe(replica_id, state=State.BOOTING)
    assert ("servers", "mlp 2") not in problems(await shown(user)), "it boots"
    await store.observe(replica_id, state=State.FAILED, reason="the file is damaged")
    state = await shown(user)
    assert ("servers", "mlp 2") in problems(state)
    (waiting,) = state["servers"]["waiting"]
    assert (waiting["id"], waiting["reason"]) == (made["id"], "the file is damaged")


async def test_servers_are_counted_by_the_state_of_their_lead(
    in_process_gateway: InProcessGateway, database: Database
) -> None:
    user = await in_process_gateway.user()
    store = in_process_gateway.services.fleet.store
    servers = [await store.ensure_running("many", version) for version in range(1, 54)]
    replicated = await store.ensure_running("replicated", 1, replicas=2)
    first, second = replicated.replicas
    await store.observe(first.id, state=State.FAILED)
    await store.observe(second.id, state=State.BOOTING)
    await store.observe(second.id, state=State.READY)
    await store.observe(servers[0].lead.id, state=State.BOOTING)
    async with database.write() as session:
        asleep = update(InferenceServer).where(InferenceServer.id == servers[1].id)
        await session.execute(asleep.values(desired=Desired.ASLEEP))
    shown_servers = (await shown(user))["servers"]
    assert shown_servers["by_state"] == {"ready": 1, "booting": 1, "asleep": 1, "stopped": 51}
    waiting = [(server["model"], server["version"]) for server in shown_servers["waiting"]]
    assert waiting == [("many", version) for version in (1, *range(3, 52))]
