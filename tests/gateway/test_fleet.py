"""Inference servers as rows: desired states, observations and transitions."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from sqlalchemy import select

from gateway.fleet.states import TRANSITIONS, Phase, State, check_transition
from gateway.fleet.store import FleetStore, Observed, start_missing
from gateway.storage.database import Database
from gateway.storage.tables import ChangeCounter, InferenceServer, Replica
from tests.gateway.databases import PostgresDatabase
from tests.gateway.in_process_gateway import InProcessGateway, flow_json

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SERVERS = "/node/inference-servers/"


async def revision(database: Database) -> int:
    """Return the number of the last change."""
    async with database.read() as session:
        return (await session.execute(select(ChangeCounter.revision))).scalar_one()


async def test_a_model_version_has_one_server_however_often_it_is_requested(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = (await user.post(SERVERS, json={"model": "mlp"})).json()
    assert (first["model"], first["version"], first["desired"]) == ("mlp", 2, "running")
    assert (first["state"], first["phase"], first["replicas"]) == ("stopped", None, 1)
    again = await user.post(SERVERS, json={"model": "mlp", "version": 2})
    assert again.json() == first
    other = (await user.post(SERVERS, json={"model": "mlp", "version": "stable"})).json()
    assert other["version"] == 1
    listed = (await user.get(SERVERS)).json()["items"]
    assert [item["id"] for item in listed] == [other["id"], first["id"]]


async def test_a_server_can_be_requested_by_flow(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    flow = (await user.post("/node/flows/", json=flow_json(version="stable"))).json()
    made = (await user.post(SERVERS, json={"flow_id": flow["id"]})).json()
    assert (made["model"], made["version"], made["flow_id"]) == ("mlp", 1, flow["id"])


async def test_the_replicas_of_a_deployment_stay_with_its_next_version(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    flow = (await user.post("/node/flows/", json=flow_json(version="1"))).json()
    body = {"flow_id": flow["id"], "execution_mode": "fast"}
    deployment = (await user.post("/node/deployments/", json=body)).json()
    scaled = {"deployment_id": deployment["id"], "replicas": 3, "host_labels": {"zone": "b"}}
    made = (await user.post(SERVERS, json=scaled)).json()
    assert (made["model"], made["version"], made["replicas"]) == ("mlp", 1, 3)
    await user.put(f"/node/flows/{flow['id']}/", json=flow_json(version="2"))
    await user.post(f"/node/deployments/{deployment['id']}/redeploy/")
    following = (await user.post(SERVERS, json={"deployment_id": deployment["id"]})).json()
    assert (following["model"], following["version"], following["replicas"]) == ("mlp", 2, 3)
    assert following["host_labels"] == {"zone": "b"}
    other = await in_process_gateway.user("other@example.com")
    assert (await other.post(SERVERS, json=scaled)).status_code == 404
    await user.delete(f"/node/deployments/{deployment['id']}/")
    assert (await user.post(SERVERS, json=scaled)).status_code == 410


INVALID_REQUESTS: list[tuple[dict[str, object], int]] = [
    ({}, 422),
    ({"model": "mlp", "flow_id": "x"}, 422),
    ({"flow_id": "x", "deployment_id": "x"}, 422),
    ({"deployment_id": "nonsense", "version": 1}, 422),
    ({"deployment_id": "nonsense"}, 404),
    ({"model": "nothing"}, 404),
    ({"model": "mlp", "version": 9}, 404),
    ({"model": "mlp", "version": "a\x00b"}, 404),
    ({"model": "../mlp"}, 400),
    ({"flow_id": "nonsense"}, 404),
    ({"model": "mlp", "version": 1.5}, 422),
]


async def test_invalid_requests_for_a_server_are_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for body, status in INVALID_REQUESTS:
        assert (await user.post(SERVERS, json=body)).status_code == status, body


async def test_a_flow_with_two_models_is_ambiguous(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    flow = flow_json()
    flow["nodes"].append({"id": "more", "type": "inference", "config": {"model": "scaled"}})
    flow["edges"] += [
        {"source": "input", "target": "more"},
        {"source": "more", "target": "output"},
    ]
    saved = (await user.post("/node/flows/", json=flow)).json()
    refused = await user.post(SERVERS, json={"flow_id": saved["id"]})
    assert refused.status_code == 422
    assert "mlp 2, scaled 1" in refused.json()["message"]
    deployment = await user.post("/node/deployments/", json={"flow_id": saved["id"]})
    refused = await user.post(SERVERS, json={"deployment_id": deployment.json()["id"]})
    assert refused.status_code == 422
    assert "a deployment with one model, this one has mlp 2, scaled 1" in refused.json()["message"]


async def test_stop_start_and_delete(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(SERVERS, json={"model": "mlp"})).json()
    url = f"{SERVERS}{made['id']}/"
    assert (await user.post(f"{url}stop/")).json()["desired"] == "stopped"
    assert await in_process_gateway.services.fleet.store.desired_running() == []
    assert (await user.post(f"{url}start/")).json()["desired"] == "running"
    assert [row.id for row in await in_process_gateway.services.fleet.store.desired_running()] == [
        made["id"]
    ]
    assert (await user.delete(url)).status_code == 204
    assert (await user.get(url)).status_code == 404
    assert (await user.post(f"{url}start/")).status_code == 404


async def test_observations_of_the_supervisor_are_shown(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    store = in_process_gateway.services.fleet.store
    made = (await user.post(SERVERS, json={"model": "mlp"})).json()
    url = f"{SERVERS}{made['id']}/"
    replica = (await store.get(made["id"])).lead.id
    await store.observe(replica, state=State.BOOTING, phase=Phase.SPAWNING, pid=7)
    await store.observe(replica, phase=Phase.LOADING, address="unix:/run/a.sock")
    booting = (await user.get(url)).json()
    assert (booting["state"], booting["phase"]) == ("booting", "loading")
    assert [process["pid"] for process in booting["processes"]] == [7]
    assert booting["started_at"] is not None
    assert booting["ready_at"] is None
    await store.observe(replica, state=State.READY, boot_seconds=0.3, memory_bytes=10**10)
    ready = (await user.get(url)).json()
    assert (ready["state"], ready["phase"], ready["ready_replicas"]) == ("ready", None, 1)
    assert [process["address"] for process in ready["processes"]] == ["unix:/run/a.sock"]
    assert (ready["boot_seconds"], ready["memory_bytes"]) == (0.3, 10**10)
    assert ready["ready_at"] >= ready["started_at"]
    await store.observe(replica, state=State.DRAINING)
    await store.observe(replica, state=State.STOPPED)
    stopped = (await user.get(url)).json()
    (process,) = stopped["processes"]
    assert (process["pid"], process["address"], stopped["memory_bytes"]) == (None, None, None)


async def test_a_crash_while_booting_clears_the_old_process(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.observe(row.lead.id, state=State.BOOTING, phase=Phase.SPAWNING, pid=1, address="a")
    first = await store.get(row.id)
    await store.observe(row.lead.id, state=State.BOOTING, phase=Phase.SPAWNING, pid=2, restarts=1)
    second = await store.get(row.id)
    assert (second.lead.pid, second.lead.address, second.restarts) == (2, None, 1)
    assert first.started_at is not None
    assert second.started_at is not None
    assert second.started_at > first.started_at


async def test_a_failed_server_is_started_again_on_request(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    assert (
        (await store.ensure_running("mlp", 1)).generation
        == (await store.start(row.id)).generation
        == 1
    )
    await store.observe(row.lead.id, state=State.BOOTING)
    await store.observe(row.lead.id, state=State.FAILED, reason="no such operator")
    assert (await store.get(row.id)).reason == "no such operator"
    assert (await store.start(row.id)).generation == 2
    assert (await store.ensure_running("mlp", 1)).generation == 3
    await store.observe(row.lead.id, state=State.BOOTING)
    assert (await store.get(row.id)).reason is None


async def test_only_relevant_observations_enter_the_change_feed(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    before = await revision(database)
    assert await store.observe(row.lead.id, memory_bytes=1)
    assert await store.observe(row.lead.id, state=State.STOPPED, pid=None)
    assert await revision(database) == before
    assert await store.observe(row.lead.id, state=State.BOOTING)
    assert await revision(database) == before + 1


async def test_observing_a_deleted_server_is_not_an_error(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.delete(row.id)
    assert not await store.observe(row.lead.id, state=State.BOOTING)


async def test_concurrent_requests_get_the_same_server(database: Database, url: str) -> None:
    other = Database(url)
    stores = (FleetStore(database), FleetStore(other)) * 4
    rows = await asyncio.gather(*(store.ensure_running("mlp", 1) for store in stores))
    await other.close()
    assert len({row.id for row in rows}) == 1


def test_a_server_has_the_state_of_the_replica_that_is_closest_to_answering() -> None:
    closest = ["ready", "booting", "draining", "unresponsive", "failed", "stopped"]
    assert set(closest) == set(State)
    for last, state in enumerate(closest, start=1):
        others = [Replica(state=each, restarts=1) for each in reversed(closest[last - 1 :])]
        server = InferenceServer(replicas=others)
        assert (server.state, server.restarts) == (state, len(others))
        assert server.ready_replicas == (state == "ready")
    assert InferenceServer(replicas=[]).state == "stopped"


@pytest.mark.databases("postgresql")
async def test_observing_and_deploying_servers_lock_them_in_one_order(
    database: Database, postgres: PostgresDatabase
) -> None:
    other = Database(postgres.url)
    fleet = FleetStore(database)
    made = [await fleet.ensure_running(name, 1) for name in ("a", "b")]
    first, second = sorted(made, key=lambda server: server.id)
    async with other.write() as session:
        await session.get(InferenceServer, first.id, with_for_update=True)
        seen = [
            Observed(replica_id=server.lead.id, seen={"restarts": 1}) for server in (second, first)
        ]
        recording = asyncio.create_task(fleet.record(seen))
        await postgres.wait_for_blocked()
        await session.get(InferenceServer, second.id, with_for_update=True)
    assert await recording == 2
    assert [server.restarts for server in await fleet.all()] == [1, 1]
    await other.close()


async def test_concurrent_deployments_start_one_server_and_all_succeed(
    database: Database, url: str
) -> None:
    other = Database(url)

    async def start(db: Database) -> None:
        async with db.write() as session:
            await start_missing(session, {("mlp", 1), ("mlp", 2)}, flow_id="f")

    await asyncio.gather(*(start(db) for db in (database, other) * 4))
    rows = await FleetStore(other).all()
    await other.close()
    assert sorted((row.version, row.desired) for row in rows) == [(1, "running"), (2, "running")]


@pytest.mark.parametrize(("old", "new"), [*itertools.product(State, State)])
def test_only_listed_transitions_are_legal(old: State, new: State) -> None:
    if new is old or new in TRANSITIONS[old]:
        assert check_transition(old, new) is new
    else:
        with pytest.raises(ValueError, match="cannot become"):
            check_transition(old, new)
