"""Inference servers that register themselves: their rows, their leases, and who may do it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from gateway.auth.identity import Role, Scope
from gateway.errors import GatewayError
from gateway.fleet import registrations
from gateway.fleet.hosts import HostLease, HostStore
from gateway.fleet.placement import Placement
from gateway.fleet.registrations import FIRST_SLOT, Leases, RegistrationService, Seen
from gateway.fleet.states import Desired, State
from gateway.fleet.store import FleetStore, start_missing
from gateway.ids import new_id
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import InferenceServer, Replica
from tests.gateway.private_model import PRIVATE, PrivateModel
from tests.gateway.test_fleet import revision
from tests.gateway.test_isolation import status_and_code

pytestmark = pytest.mark.databases("sqlite", "postgresql")

REGISTERED = "/node/inference-servers/registered/"


def seen(state: State = State.READY, port: int = 5000, **more: Any) -> Seen:
    """Return what a process says of itself."""
    fields: dict[str, Any] = {
        "state": state,
        "phase": None,
        "tcp_address": f"10.0.0.1:{port}",
        "metrics_address": "10.0.0.1:9000",
        "pid": 7,
        "reason": None,
        "boot_seconds": 0.5,
    }
    return Seen(**{**fields, **more})


class Site:
    """Rows, and what registers processes."""

    def __init__(self, database: Database) -> None:
        self.fleet = FleetStore(database)
        self.service = RegistrationService(database, self._resolve)
        self._database = database

    async def _resolve(self, _profile_id: str | None, _model: str, spec: str) -> int:
        return int(spec)

    async def register(self, one: str, **more: Any) -> Desired:
        """Register a process of `mlp 1`."""
        return await self.service.register(one, "mlp", 1, seen(**more))

    async def remove(self, one: str) -> None:
        """Remove a process."""
        await self.service.remove(one)

    async def server(self) -> InferenceServer:
        """Return the only server."""
        (server,) = await self.fleet.all()
        return server

    async def ended(self) -> list[str]:
        """Return the processes whose lease has ended."""
        async with self._database.read() as session:
            ended = select(Replica.id).where(Replica.lease_until < seconds_from_now())
            return list((await session.execute(ended)).scalars())

    async def end_lease(self, one: str) -> None:
        """Let the lease of a process end."""
        async with self._database.write() as session:
            ended = update(Replica).where(Replica.id == one)
            await session.execute(ended.values(lease_until=seconds_from_now(-0.001)))


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


async def test_the_first_process_makes_the_server_and_more_are_its_replicas(site: Site) -> None:
    one, other = new_id(), new_id()
    assert await site.register(one, state=State.BOOTING) is Desired.RUNNING
    server = await site.server()
    assert (server.state, server.replica_count, server.lead.started_at is None) == (
        *("booting", 0),
        False,
    )
    await site.register(one)
    await site.register(other, port=5001)
    server = await site.server()
    assert (server.state, server.replica_count, server.ready_replicas) == ("ready", 0, 2)
    found = [(each.id, each.slot, each.tcp_address) for each in server.replicas]
    assert found == [(one, FIRST_SLOT, "10.0.0.1:5000"), (other, FIRST_SLOT + 1, "10.0.0.1:5001")]
    await site.remove(one)
    await site.remove(one)
    third = new_id()
    await site.register(third)
    assert {each.id: each.slot for each in (await site.server()).replicas} == {
        third: FIRST_SLOT,
        other: FIRST_SLOT + 1,
    }


async def test_a_renewal_that_says_nothing_new_is_not_published(
    site: Site, database: Database
) -> None:
    one = new_id()
    await site.register(one)
    before = await revision(database)
    await site.end_lease(one)
    await site.register(one)
    assert await revision(database) == before
    assert not (await site.ended()), "and yet the lease goes on"
    await site.register(one, state=State.DRAINING)
    assert await revision(database) == before + 1


async def test_hosts_run_their_own_replicas_beside_them(site: Site, database: Database) -> None:
    one = new_id()
    await site.register(one)
    await site.fleet.ensure_running("mlp", 1, replicas=1)
    assert (await site.server()).replica_count == 1
    await site.fleet.change((await site.server()).id, replicas=3)
    await site.fleet.change((await site.server()).id, idle_timeout_seconds=None)
    lease = await HostStore(database).claim(
        name="host", owner="host", has_ended=lambda _: False, joined=True
    )
    assert isinstance(lease, HostLease)
    host = Placement(
        database,
        lease.host_id,
        model_size=lambda *_: 1000,
        may_take_over=lambda: True,
        labels={},
        memory_bytes=1_000_000,
        is_limited=False,
    )
    await host.claim()
    replicas = {each.slot: each.host_id for each in (await site.server()).replicas}
    assert replicas == {**dict.fromkeys(range(3), lease.host_id), FIRST_SLOT: None}
    await site.fleet.change((await site.server()).id, replicas=1)
    assert [each.slot for each in (await site.server()).replicas] == [0, FIRST_SLOT]


async def test_a_sleeping_server_wakes_and_a_stopped_one_stays_stopped(
    site: Site, database: Database
) -> None:
    one = new_id()
    server = await site.fleet.ensure_running("mlp", 1)
    async with database.write() as session:
        await session.execute(update(InferenceServer).values(desired=Desired.ASLEEP))
    assert await site.register(one) is Desired.RUNNING
    assert (await site.server()).generation == server.generation + 1
    await site.fleet.stop(server.id)
    assert await site.register(one) is Desired.STOPPED


async def test_processes_that_register_at_once_have_slots_of_their_own(site: Site) -> None:
    await asyncio.gather(*(site.register(new_id(), port=port) for port in range(1, 9)))
    slots = [each.slot for each in (await site.server()).replicas]
    assert slots == list(range(FIRST_SLOT, FIRST_SLOT + 8))


async def test_a_server_has_so_many_processes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrations, "_MAX_PER_SERVER", 2)
    one = new_id()
    await site.register(one)
    await site.register(new_id())
    with pytest.raises(GatewayError, match="2 processes of version 1 have registered") as caught:
        await site.register(new_id())
    assert caught.value.code == "conflict"
    await site.register(one)


async def test_the_id_of_another_process_is_refused(site: Site) -> None:
    own = (await site.fleet.ensure_running("mlp", 1)).lead.id
    for model, one in (("mlp", own), ("other", own)):
        with pytest.raises(GatewayError, match="is known") as caught:
            await site.service.register(one, model, 1, seen())
        assert caught.value.code == "conflict"
    await site.remove(own)
    assert (await site.server()).lead.id == own
    with pytest.raises(GatewayError, match="expected a UUID"):
        await site.register("nonsense")


async def test_a_process_is_gone_when_its_lease_is_seen_to_have_ended(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr(registrations, "monotonic", lambda: clock)
    leases, one, other = Leases(database), new_id(), new_id()
    await site.register(one)
    await site.register(other)

    async def look(after: float, *known: str) -> None:
        nonlocal clock
        clock += after
        await leases.end()
        assert {each.id for each in (await site.server()).replicas} == set(known)

    await site.end_lease(one)
    await look(0, one, other)
    await look(1, one, other)
    await look(30, one, other)  # the database did not answer meanwhile: nothing could register
    await look(1, one, other)
    await site.register(one)
    await look(1, one, other)
    await site.end_lease(one)
    await look(1, one, other)
    await look(1, one, other)
    await look(1, other)
    await site.register(one)
    await look(1, one, other)  # one that returns registers again


async def test_a_server_whose_processes_are_gone_is_started_by_hosts_when_it_is_wanted(
    site: Site, database: Database
) -> None:
    one = new_id()
    await site.register(one)
    await site.fleet.ensure_running("mlp", 1)
    assert (await site.server()).replica_count == 0, "what runs is enough"
    async with database.write() as session:
        await start_missing(session, [("mlp", 1)], flow_id=new_id())
    assert (await site.server()).replica_count == 0
    await site.remove(one)
    async with database.write() as session:
        await start_missing(session, [("mlp", 1)], flow_id=new_id())
    assert (await site.server()).replica_count == 1


async def test_only_administrators_register_servers(private_model: PrivateModel) -> None:
    gateway = private_model.gateway
    body = {"model": PRIVATE, "version": 1, **asdict(seen())}
    url = f"{REGISTERED}{uuid4()}/"
    admin = await gateway.user("root@example.com", Role.ADMIN)
    for scope in (Scope.SERVE, Scope.MANAGE):
        member = await gateway.key_client(private_model.ada, scope)
        assert status_and_code(await member.put(url, json=body)) == (403, "role_forbidden")
        assert status_and_code(await member.delete(url)) == (403, "role_forbidden")
        client = await gateway.key_client(admin, scope)
        answer = await client.put(url, json=body)
        assert answer.json() == {"desired": "running", "lease_seconds": 5.0}
    trigger = await gateway.key_client(admin, Scope.TRIGGER)
    assert status_and_code(await trigger.put(url, json=body)) == (403, "api_key_forbidden")
    unknown = {**body, "model": "nowhere"}
    assert status_and_code(await client.put(f"{REGISTERED}{uuid4()}/", json=unknown)) == (
        *(404, "not_found"),
    )
    shown = (await private_model.owner.client.get("/node/inference-servers/")).json()["items"]
    assert [each["is_registered"] for each in shown[0]["processes"]] == [False, True]
    assert (await client.delete(url)).status_code == 204
    shown = (await private_model.owner.client.get("/node/inference-servers/")).json()["items"]
    assert [each["is_registered"] for each in shown[0]["processes"]] == [False]


NONSENSE: tuple[dict[str, Any], ...] = (
    {"tcp_address": "unix:/run/x"},
    {"tcp_address": "grpcs://host"},
    {"tcp_address": "a b:1"},
    {"tcp_address": "host:99999"},
    {"tcp_address": "a..b:80"},
    {"tcp_address": f"{'a' * 64}.example:80"},
    {"reason": "a\x00b"},
    {"model": "a\x00b"},
    {"version": 2**63},
    {"metrics_address": "http://host:1"},
    {"state": "stopped"},
    {"pid": 0},
    {"version": 0},
    {"host_id": "x"},
)


async def test_what_a_process_says_is_checked(private_model: PrivateModel) -> None:
    admin = await private_model.gateway.user("root@example.com", Role.ADMIN)
    client = await private_model.gateway.key_client(admin, Scope.SERVE)
    for change in NONSENSE:
        body = {"model": PRIVATE, "version": 1, **asdict(seen()), **change}
        answer = await client.put(f"{REGISTERED}{uuid4()}/", json=body)
        assert answer.status_code == 422, change
        assert next(iter(change)) in answer.text
