"""Connections to a PostgreSQL on a machine of its own, whose packets are dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest

from gateway.storage import postgresql
from tests.fleet.network import Network, NetworkMachine
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.services


@pytest.fixture
def machine() -> Iterator[NetworkMachine]:
    with Network() as network:
        yield network.add("database")


async def test_a_statement_ends_when_packets_are_dropped(machine: NetworkMachine) -> None:
    server = PostgresServer(None, machine)
    server.start()
    try:
        url = server.create("cut")
        waits, is_new = await postgresql.connect(url), await postgresql.connect(url)
        answer = asyncio.create_task(waits.fetchval("SELECT pg_sleep(100)"))
        await asyncio.sleep(0.5)
        machine.cut()
        began = time.monotonic()
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await is_new.fetchval("SELECT 1")
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await answer
        assert time.monotonic() - began < 30, "TCP gives up after a quarter of an hour"
        machine.restore()
        back = await connected(url)
        assert await back.fetchval("SELECT 1") == 1
        await back.close()
    finally:
        server.remove()


async def connected(url: str) -> asyncpg.Connection:
    """Connect, once the kernel has asked again where the machine is: it was not there."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await postgresql.connect(url)
            except OSError:
                await asyncio.sleep(0.1)
