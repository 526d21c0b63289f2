"""What is known of the boots of inference servers, and the last lines of their logs."""

from __future__ import annotations

import pytest

from gateway.auth.identity import Role, Scope
from gateway.fleet.server_logs import LogLine, ServerLogStore
from gateway.fleet.states import Phase, State
from gateway.fleet.store import FleetStore
from gateway.storage.database import Database
from gateway.storage.tables import Host
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.private_model import PrivateModel

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SERVERS = "/node/inference-servers/"


async def boot(store: FleetStore, replica_id: str, seconds: float) -> None:
    """Have a replica boot, become ready and end."""
    await store.observe(replica_id, state=State.BOOTING, phase=Phase.SPAWNING)
    await store.observe(replica_id, phase=Phase.LOADING)
    await store.observe(replica_id, state=State.READY, boot_seconds=seconds)
    await store.observe(replica_id, state=State.STOPPED)


async def test_a_boot_is_expected_to_be_like_the_last_ones(database: Database) -> None:
    store = FleetStore(database)
    server = await store.ensure_running("mlp", 1)
    assert (server.expected_boot_seconds, server.slow_boot_seconds) == (None, None)
    for seconds in (9.0, 1.0, 2.0):
        await boot(store, server.lead.id, seconds)
    server = await store.get(server.id)
    assert (server.expected_boot_seconds, server.slow_boot_seconds) == (2.0, None)
    for seconds in range(1, 21):
        await boot(store, server.lead.id, float(seconds))
    server = await store.get(server.id)
    assert server.boots == [float(seconds) for seconds in range(1, 21)], "the last 20 are kept"
    assert (server.expected_boot_seconds, server.slow_boot_seconds) == (10.5, 18.0)


async def test_a_server_that_boots_says_for_how_long_and_since_when_in_this_phase(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(SERVERS, json={"model": "mlp"})).json()
    store, path = in_process_gateway.services.fleet.store, f"{SERVERS}{made['id']}/"
    replica_id = (await store.get(made["id"])).lead.id
    await store.observe(replica_id, state=State.BOOTING, phase=Phase.SPAWNING)
    spawning = (await user.get(path)).json()
    assert spawning["boot_elapsed_seconds"] >= 0
    assert spawning["phase_started_at"] == spawning["started_at"]
    listed = (await user.get("/node/models/", params={"view": "summary", "q": "mlp"})).json()
    (serving,) = listed["items"][0]["serving"]
    assert (serving["state"], serving["phase"]) == ("booting", "spawning")
    assert serving["boot_elapsed_seconds"] >= spawning["boot_elapsed_seconds"]
    await store.observe(replica_id, phase=Phase.LOADING)
    loading = (await user.get(path)).json()
    assert loading["phase_started_at"] > spawning["phase_started_at"]
    assert loading["started_at"] == spawning["started_at"]
    await store.observe(replica_id, state=State.READY, boot_seconds=0.5)
    ready = (await user.get(path)).json()
    assert (ready["boot_elapsed_seconds"], ready["phase_started_at"]) == (None, None)
    assert ready["expected_boot_seconds"] == 0.5


async def test_a_log_has_the_last_lines_of_all_replicas_in_order(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(SERVERS, json={"model": "mlp", "replicas": 2})).json()
    fleet = in_process_gateway.services.fleet
    first, second = (replica.id for replica in (await fleet.store.get(made["id"])).replicas)
    lines = {
        first: [LogLine(1_000_000, "info", "loading"), LogLine(3_000_000, "error", "failed")],
        second: [LogLine(2_000_000, "info", "spawning")],
    }
    await fleet.server_logs.write(None, lines)
    path = f"{SERVERS}{made['id']}/logs/"
    answer = (await user.get(path)).json()
    assert [(line["slot"], line["level"], line["text"]) for line in answer["lines"]] == [
        (0, "info", "loading"),
        (1, "info", "spawning"),
        (0, "error", "failed"),
    ]
    assert answer["lines"][0]["at"] == "1970-01-01T00:00:01Z"
    last = (await user.get(path, params={"tail": 1})).json()["lines"]
    assert [line["text"] for line in last] == ["failed"]

    follow = {"follow": answer["next"]}
    assert (await user.get(path, params=follow)).json()["lines"] == []
    lines[second].append(LogLine(2_500_000, "info", "ready"))
    await fleet.server_logs.write(None, lines)
    later = (await user.get(path, params=follow)).json()["lines"]
    assert [line["text"] for line in later] == ["ready"], "also before the last of another one"
    for wrong in ("x", "1", "1:2,", "-1:2"):
        assert (await user.get(path, params={"follow": wrong})).status_code == 422, wrong


async def test_a_host_writes_no_log_of_a_replica_that_another_one_runs(
    database: Database,
) -> None:
    store, logs = FleetStore(database), ServerLogStore(database)
    server = await store.ensure_running("mlp", 1)
    async with database.write() as session:
        here, there = (
            Host(name=name, owner=name, token=1, joined=True, lease_until=server.created_at)
            for name in ("here", "there")
        )
        session.add_all([here, there])
        await session.flush()
        replica = await session.get_one(type(server.lead), server.lead.id)
        replica.host_id = there.id
    await logs.write(there.id, {replica.id: [LogLine(1, "info", "there")]})
    await logs.write(here.id, {replica.id: [LogLine(2, "info", "here")]})
    ((_, lines),) = await logs.read(server.id)
    assert [line.text for line in lines] == ["there"]
    await store.delete(server.id)
    assert await logs.read(server.id) == []


async def test_logs_are_for_those_who_manage_the_model(private_model: PrivateModel) -> None:
    gateway = private_model.gateway
    path = f"{SERVERS}{private_model.server_id}/logs/"
    assert (await private_model.owner.client.get(path)).status_code == 200
    member = await private_model.member()
    assert (await member.get(path)).status_code == 404
    await private_model.set_visibility("shared")
    assert (await member.get(path)).json()["code"] == "role_forbidden"
    admin = await gateway.user("admin@example.com", Role.ADMIN)
    assert (await (await gateway.key_client(admin, Scope.MANAGE)).get(path)).status_code == 200
