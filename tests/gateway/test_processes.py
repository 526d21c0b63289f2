"""What an installation knows of its gateways and workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy import update

from gateway.fleet import processes
from gateway.fleet.hosts import HostLease, HostStore
from gateway.fleet.processes import ProcessAnnouncer, ProcessStore
from gateway.fleet.service_process import ProcessKind, SeenProcess, http_address
from gateway.fleet.states import State
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, ServiceProcess
from tests.gateway.runs.builders import until
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")

GATEWAY = SeenProcess(
    kind=ProcessKind.GATEWAY,
    name="gateway 1",
    state=State.READY,
    pid=os.getpid(),
    address="http://a:9080",
)
WORKER = SeenProcess(
    kind=ProcessKind.WORKER, name="rest", state=State.BOOTING, reason="it waits", concurrency=2
)


@pytest.fixture
def store(database: Database) -> ProcessStore:
    """The rows of gateways and workers."""
    return ProcessStore(database)


async def host(database: Database, owner: str = "first") -> HostLease:
    """Become a host."""
    claimed = HostStore(database).claim(
        name=owner, owner=owner, has_ended=lambda _: False, joined=True
    )
    lease = await claimed
    assert isinstance(lease, HostLease)
    return lease


async def shown(store: ProcessStore) -> list[tuple[str, str, bool]]:
    """The name and the state of each, and whether it is alive."""
    return [(row.name, row.state, is_alive) for row, is_alive in await store.all()]


async def test_processes_of_a_host_live_as_long_as_its_lease(
    database: Database, store: ProcessStore
) -> None:
    lease = await host(database)
    await store.write({"1": GATEWAY, "2": WORKER}, lease)
    assert await shown(store) == [("gateway 1", "ready", True), ("rest", "booting", True)]
    counts = await store.counts()
    assert len(counts) == 2 * (len(State) + 1), "an alert sees what is missing, too"
    some = {key: count for key, count in counts.items() if count}
    assert some == {("gateway", "ready"): 1, ("worker", "booting"): 1}
    (gateway, _), (worker, _) = await store.all()
    assert (gateway.address, gateway.pid, gateway.concurrency) == (
        "http://a:9080",
        os.getpid(),
        None,
    )
    assert (worker.reason, worker.pid, worker.concurrency) == ("it waits", None, 2)
    assert gateway.started_at is not None
    assert worker.started_at is None
    async with database.write() as session:
        await session.execute(update(Host).values(lease_until=seconds_from_now(-1)))
    assert await shown(store) == [("gateway 1", "ready", False), ("rest", "booting", False)]
    some = {key: count for key, count in (await store.counts()).items() if count}
    assert some == {("gateway", "gone"): 1, ("worker", "gone"): 1}


async def test_a_host_writes_only_its_own_rows_and_only_while_it_has_the_lease(
    database: Database, store: ProcessStore
) -> None:
    first, second = await host(database, "first"), await host(database, "second")
    await store.write({"1": GATEWAY}, first)
    await store.write({"2": WORKER}, second)
    await store.write({"3": GATEWAY}, first)
    assert sorted(row.id for row, _ in await store.all()) == ["2", "3"]
    again = await host(database, "first")
    await store.write({"4": WORKER}, first)
    assert sorted(row.id for row, _ in await store.all()) == ["2", "3"], "the token is an old one"
    await store.write({"4": WORKER}, again)
    assert sorted(row.id for row, _ in await store.all()) == ["2", "4"]


async def test_the_rows_of_a_deleted_host_are_deleted(
    database: Database, store: ProcessStore
) -> None:
    hosts = HostStore(database)
    await store.write({"1": GATEWAY}, await host(database))
    await hosts.claim(name="b", owner="b", has_ended=lambda owner: owner == "first", joined=True)
    assert await store.all() == []


async def test_what_runs_alone_renews_its_lease_and_leaves_in_good_order(
    database: Database, store: ProcessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(processes, "_RENEW_SECONDS", 0.05)
    seen: list[SeenProcess] = [GATEWAY, WORKER]
    announcer = ProcessAnnouncer(store, lambda: list(seen))
    announcer.start()

    async def eventually(expected: Sequence[tuple[str, str, bool]]) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await shown(store) != expected:  # noqa: ASYNC110 - it is in the database
                await asyncio.sleep(0.01)

    await eventually([("gateway 1", "ready", True), ("rest", "booting", True)])
    del seen[1]
    await eventually([("gateway 1", "ready", True)])
    async with database.write() as session:
        await session.execute(update(ServiceProcess).values(lease_until=seconds_from_now(-1)))
    await eventually([("gateway 1", "ready", True)])
    await announcer.stop()
    assert await store.all() == []


@pytest.mark.parametrize(
    ("age", "address", "listed"),
    [
        (3600, "http://a:1", ["1", "2"]),
        (3600, GATEWAY.address, ["2"]),  # it is back
        (90_000, "http://a:1", ["2"]),
        (-5, GATEWAY.address, ["1", "2"]),  # two of the same address share the port
    ],
)
async def test_what_ran_alone_and_was_killed_is_listed_until_it_is_back_or_for_a_day(
    database: Database, store: ProcessStore, age: int, address: str, listed: list[str]
) -> None:
    await store.write({"1": GATEWAY}, None)
    async with database.write() as session:
        ended = seconds_from_now(-age)
        await session.execute(update(ServiceProcess).values(lease_until=ended))
    assert await shown(store) == [("gateway 1", "ready", age < 0)]
    await store.write({"2": replace(GATEWAY, address=address)}, None)
    assert sorted(row.id for row, _ in await store.all()) == listed


async def test_a_renewal_forgets_no_other_of_the_same_name(
    database: Database, store: ProcessStore
) -> None:
    await store.write({"1": WORKER}, None)
    await store.write({"2": WORKER}, None)
    async with database.write() as session:
        ended = update(ServiceProcess).where(ServiceProcess.id == "1")
        await session.execute(ended.values(lease_until=seconds_from_now(-1)))
    await store.write({"2": WORKER}, None)
    assert sorted(row.id for row, _ in await store.all()) == ["1", "2"]


async def test_a_host_writes_its_rows_again_now_and_then(
    database: Database, store: ProcessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(processes, "_REPEAT_SECONDS", 0.05)
    announcer = ProcessAnnouncer(store, lambda: [GATEWAY], await host(database))
    announcer.start()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for _ in range(2):
            while not await store.all():  # noqa: ASYNC110 - it is in the database
                await asyncio.sleep(0.01)
            async with database.write() as session:
                await session.execute(sa.delete(ServiceProcess))
    await announcer.stop()
    assert await store.all() == []


async def test_a_database_that_does_not_answer_keeps_no_process_from_its_end(
    database: Database, store: ProcessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.1)
    announcer = ProcessAnnouncer(store, lambda: [GATEWAY])
    announcer.start()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await store.all():  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.01)
    async with database.write() as session:  # which keeps the row locked
        await session.execute(update(ServiceProcess).values(reason="held"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await announcer.stop()
    assert await shown(store) == [("gateway 1", "ready", True)]


async def test_an_announcer_tries_again_when_the_database_has_failed(
    database: Database, store: ProcessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_RENEW_SECONDS", 0.05)
    looks: list[SeenProcess] = []

    def look() -> list[SeenProcess]:
        looks.append(GATEWAY)
        return [GATEWAY]

    async with database.write() as session:
        await session.execute(sa.text("ALTER TABLE service_processes RENAME TO away"))
    announcer = ProcessAnnouncer(store, look)
    announcer.start()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await until(lambda: len(looks) > 2)
    async with database.write() as session:
        await session.execute(sa.text("ALTER TABLE away RENAME TO service_processes"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await store.all():  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.01)
    await announcer.stop()


@pytest.mark.parametrize(
    ("host", "tls", "expected"),
    [
        ("10.0.0.5", True, "https://10.0.0.5:80"),
        ("::1", False, "http://[::1]:80"),
        ("localhost", False, "http://localhost:80"),
    ],
)
def test_the_address_of_a_gateway(host: str, *, tls: bool, expected: str) -> None:
    assert http_address(host, 80, tls=tls) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_address_of_a_gateway_that_listens_on_all_has_the_name_of_its_machine(
    host: str,
) -> None:
    assert http_address(host, 80, tls=False) == f"http://{os.uname().nodename}:80"
