"""Connections to PostgreSQL: of a process that stops, and over which no packets come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.storage import postgresql
from gateway.storage.database import Database
from gateway.storage.tables import ServiceProcess
from tests.fleet.network import Network, NetworkMachine
from tests.gateway.databases import PostgresDatabase
from tests.services.postgres import PostgresServer
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = pytest.mark.services


@pytest.fixture
def machine() -> Iterator[NetworkMachine]:
    with Network() as network:
        yield network.add("database")


@pytest.mark.long
@pytest.mark.timeout(900)  # it waits until no browser loads pages
async def test_a_statement_ends_when_packets_are_dropped(machine: NetworkMachine) -> None:
    server = PostgresServer(None, machine)
    server.start()
    try:
        url = server.create("cut")
        waits, is_new = await postgresql.connect(url), await postgresql.connect(url)
        answer = asyncio.create_task(waits.fetchval("SELECT pg_sleep(100)"))
        await asyncio.sleep(0.5)
        machine.cut()
        timer = Timer()
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await is_new.fetchval("SELECT 1")
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await answer
        assert timer.seconds < 30, "TCP gives up after a quarter of an hour"
        machine.restore()
        back = await connected(url)
        assert await back.fetchval("SELECT 1") == 1
        await back.close()
    finally:
        server.remove()


async def test_a_process_that_stops_in_a_transaction_does_not_keep_its_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql, "_IDLE_SECONDS", 0.5)
    database = PostgresDatabase()
    await asyncio.to_thread(database.create)
    connections: list[asyncpg.Connection] = []
    try:
        connections += [await postgresql.connect(database.url) for _ in range(2)]
        stops, other = connections
        await other.execute("CREATE TABLE locked (id int); INSERT INTO locked VALUES (1)")
        await stops.execute("BEGIN; UPDATE locked SET id = 2")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await other.execute("UPDATE locked SET id = id + 2")
        assert await other.fetchval("SELECT id FROM locked") == 3
    finally:
        for connection in connections:
            connection.terminate()
        await asyncio.to_thread(database.drop)


@pytest.mark.databases("postgresql")
@pytest.mark.usefixtures("database")
async def test_a_process_that_goes_on_in_its_ended_transaction_gets_an_error_of_the_database(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = sa.update(ServiceProcess).values(name="changed")

    async def stopped_for(seconds: float) -> None:
        async with stops.write() as session:
            await session.execute(change)
            time.sleep(seconds)  # noqa: ASYNC251 - the whole process
            await session.execute(change)

    monkeypatch.setattr(postgresql, "_IDLE_SECONDS", 1.0)
    stops = Database(url)
    try:
        with pytest.raises(SQLAlchemyError):
            await stopped_for(4.0)
        monkeypatch.undo()
        await stopped_for(0.0)
    finally:
        await stops.close()


async def test_pooled_connections_that_the_server_closed_are_replaced_before_they_are_used() -> (
    None
):
    server = PostgresDatabase()
    await asyncio.to_thread(server.create)
    database = Database(server.url)
    try:
        before = await backends(database)
        await server.hang_up()
        await asyncio.sleep(0.05)  # the loop reads that the connections have ended
        after = await backends(database)
        assert len(before) == len(after) == 3
        assert not before & after
        assert await backends(database) == after, "those are used again"
    finally:
        await database.close()
        await asyncio.to_thread(server.drop)


async def backends(database: Database) -> set[int]:
    """Return the server's processes for three sessions at a time: they read, stream and write."""
    pid = sa.select(sa.func.pg_backend_pid())
    async with (
        database.read() as reads,
        database.read_in_parts() as streams,
        database.write() as writes,
    ):
        return {await session.scalar(pid) or 0 for session in (reads, streams, writes)}


async def connected(url: str) -> asyncpg.Connection:
    """Connect, once the kernel has asked again where the machine is: it was not there."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                return await postgresql.connect(url)
            except OSError:
                await asyncio.sleep(0.1)
