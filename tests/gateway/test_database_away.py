"""Requests while the database hangs, and while it only has much to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from gateway.settings import Settings
from gateway.storage import change_feed
from tests.gateway.databases import PostgresDatabase, empty
from tests.gateway.in_process_gateway import InProcessGateway, flow_json
from tests.gateway.runs.builders import until
from tests.timing import TIMEOUT_SECONDS

CONNECTIONS = 14
"""That requests of a gateway have, at most."""


class Relay:
    """Passes bytes on to PostgreSQL, until it is frozen: it takes connections then, too."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.received = 0

    def freeze(self) -> None:
        """Pass nothing on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Pass everything on that has come meanwhile."""
        self._thawed.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        await self._thawed.wait()
        there, back = await asyncio.open_connection(*self._server)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back, counts=True))
                both.create_task(self._pass(there, writer, counts=False))
        finally:
            back.close()
            writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                self.received += counts * len(data)
                await self._thawed.wait()
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        target.close()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[tuple[Relay, str]]:
    """Relay connections to a database; yields its URL there, too."""
    parsed = make_url(url)
    relay = Relay(parsed.host or "127.0.0.1", parsed.port or 5432)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield relay, parsed.set(port=port).render_as_string(hide_password=False)
    relay.thaw()
    server.close()


@asynccontextmanager
async def following(url: str, folder: Path) -> AsyncIterator[InProcessGateway]:
    """Open a gateway that follows the changes of an empty database."""
    settings = Settings(state=folder / "state", database_url=url, failed_auth_per_minute=0)
    gateway = InProcessGateway(settings)
    gateway.feed.start()
    try:
        yield gateway
    finally:
        await gateway.feed.stop()
        await gateway.close()


async def test_requests_are_refused_at_once_while_the_database_hangs(
    postgres: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "_OVERDUE_SECONDS", 0.5)
    await empty(postgres.url)
    async with relayed(postgres.url) as (relay, url), following(url, tmp_path) as gateway:
        ada = await gateway.user()
        assert (await ada.get("/node/flows/")).status_code == 200

        relay.freeze()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            waiting = await asyncio.gather(
                *(ada.get("/node/flows/") for _ in range(2 * CONNECTIONS)),
                *(ada.post("/node/flows/", json=flow_json()) for _ in range(2)),
            )
        assert not gateway.feed.database_answers()
        asked = relay.received
        waiting += [await ada.get("/node/flows/") for _ in range(3)]
        assert relay.received == asked
        for answer in waiting:
            assert answer.status_code == 503
            assert answer.json()["code"] == "database_unavailable"
            assert answer.headers["retry-after"]

        relay.thaw()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await until(gateway.feed.database_answers)
        assert (await ada.get("/node/flows/")).status_code == 200


async def test_queries_that_take_long_refuse_no_request(
    postgres: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "_OVERDUE_SECONDS", 0.5)
    await empty(postgres.url)
    async with following(postgres.url, tmp_path) as gateway:
        ada = await gateway.user()

        async def sleep() -> None:
            async with gateway.db.read() as session:
                await session.execute(text("SELECT pg_sleep(1.5)"))

        async with asyncio.TaskGroup() as slow:
            for _ in range(CONNECTIONS):
                slow.create_task(sleep())
            assert (await ada.get("/node/flows/")).status_code == 200, "it waits its turn"
        assert gateway.feed.database_answers()
