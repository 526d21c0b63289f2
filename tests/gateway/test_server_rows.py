"""The rows of inference servers in memory: those that change are read again, and no others."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.model_access import Visibility
from gateway.fleet.server_rows import ServerRows
from gateway.fleet.store import FleetStore
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.tables import InferenceServer, Model

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class Reader:
    """Rows, and which of them were read."""

    def __init__(self, db: Database) -> None:
        self.store = FleetStore(db)
        self.feed = ChangeFeed(db)
        self.changed = asyncio.Event()
        self.converted: list[str] = []
        self.refused: str | None = None
        kinds = (ChangeKind.INFERENCE_SERVER, ChangeKind.MODEL)
        self.rows = ServerRows(self.store, self.feed, self._convert, self.changed, kinds=kinds)

    async def read(self) -> list[str]:
        """Return what is known of the servers, after the changes until now."""
        self.converted = []
        await self.feed.poll()
        self.changed.clear()
        return list(await self.rows.read())

    def _convert(self, server: InferenceServer, model: Model | None) -> str:
        if server.model == self.refused:
            raise ValueError(server.model)
        self.converted.append(server.model)
        visibility = model.visibility if model else "unknown"
        return f"{server.model}: {server.desired}, {visibility}"


async def test_only_what_has_changed_is_read(database: Database) -> None:
    reader = Reader(database)
    ids = [(await reader.store.ensure_running(name, 1)).id for name in ("a", "b", "c")]
    assert await reader.read() == [f"{name}: running, unknown" for name in ("a", "b", "c")]
    assert await reader.read()
    assert reader.converted == [], "nothing has changed"
    await reader.store.stop(ids[1])
    assert (await reader.read())[1] == "b: stopped, unknown"
    assert reader.converted == ["b"]
    await reader.store.ensure_running("d", 1)
    assert (await reader.read())[3] == "d: running, unknown"
    assert reader.converted == ["d"]
    async with database.write() as session:
        await session.delete(await session.get_one(InferenceServer, ids[0]))
        record_change(session, ChangeKind.INFERENCE_SERVER, ids[0])
    assert [known[0] for known in await reader.read()] == ["b", "c", "d"]
    assert reader.converted == []


async def test_a_change_of_a_model_has_its_servers_read(database: Database) -> None:
    reader = Reader(database)
    for name in ("a", "b"):
        await reader.store.ensure_running(name, 1)
    await reader.read()
    async with database.write() as session:
        session.add(Model(name="a", visibility=Visibility.SHARED))
        record_change(session, ChangeKind.MODEL, "a")
    assert await reader.read() == ["a: running, shared", "b: running, unknown"]
    assert reader.converted == ["a"]


async def test_own_changes_are_read_before_the_feed_has_them(database: Database) -> None:
    reader = Reader(database)
    server = await reader.store.ensure_running("a", 1)
    await reader.read()
    await reader.store.stop(server.id)
    assert list(await reader.rows.read()) == ["a: running, unknown"]
    reader.rows.note({server.id})
    assert list(await reader.rows.read()) == ["a: stopped, unknown"]


async def test_what_could_not_be_read_is_read_by_the_next_call(database: Database) -> None:
    reader = Reader(database)
    server = await reader.store.ensure_running("a", 1)
    await reader.read()
    await reader.store.stop(server.id)
    async with database.write() as session:
        await session.execute(text("ALTER TABLE inference_servers RENAME TO away"))
    try:
        with pytest.raises(SQLAlchemyError):
            await reader.read()
    finally:
        async with database.write() as session:
            await session.execute(text("ALTER TABLE away RENAME TO inference_servers"))
    assert await reader.read() == ["a: stopped, unknown"]


@pytest.mark.parametrize("is_first", [False, True])
async def test_a_row_that_is_not_understood_is_read_again(
    database: Database, is_first: bool
) -> None:
    reader = Reader(database)
    server = await reader.store.ensure_running("a", 1)
    if not is_first:
        await reader.read()
        await reader.store.stop(server.id)
    reader.refused = "a"
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            await reader.read()
    reader.refused = None
    assert await reader.read() == [f"a: {'running' if is_first else 'stopped'}, unknown"]
