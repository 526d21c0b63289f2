"""Databases for tests: a fresh SQLite file each, and one PostgreSQL database, emptied each time."""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import event, select, text

from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import ChangeCounter, Table
from tests.timing import TIMEOUT_SECONDS

_NOTES = {"changes", "change_counter", "login_failures"}
"""Tables that say that something happened, and hold nothing that anybody owns."""

_COUNTER = ChangeCounter.__tablename__

SERVER = "postgresql://postgres@127.0.0.1:5432"


@functools.cache
def migrated_sqlite() -> Path:
    """Return a SQLite file to copy: to migrate a new one takes half a second of processor time."""
    folder = Path(tempfile.mkdtemp(prefix="migrated-"))
    atexit.register(shutil.rmtree, folder)
    file = folder / "slipstream.db"
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop
        thread.submit(asyncio.run, migrate(f"sqlite:///{file}")).result()
    return file


class PostgresDatabase:
    """One database of our own on the server, made and dropped."""

    def __init__(self) -> None:
        self.name = f"slipstream_test_{uuid4().hex[:12]}"
        self.url = f"{SERVER}/{self.name}"

    def create(self) -> None:
        """Make the database."""
        asyncio.run(self._run(f"CREATE DATABASE {self.name}"))

    def drop(self) -> None:
        """Drop the database and close the connections to it."""
        asyncio.run(self._run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)"))

    async def hang_up(self) -> None:
        """Close every connection to the database, as a restart of the server does.

        Its processes have ended then, and our sockets have been told.
        """
        await self._run(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
            f"WHERE datname = '{self.name}' AND pid <> pg_backend_pid()"
        )

    async def wait_for_blocked(self) -> None:
        """Return when a transaction waits for a lock that another one holds."""
        query = (
            "SELECT count(*) FROM pg_stat_activity "
            f"WHERE datname = '{self.name}' AND wait_event_type = 'Lock'"
        )
        connection = await asyncpg.connect(f"{SERVER}/postgres")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not await connection.fetchval(query):  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    async def shut(self) -> None:
        """Refuse every connection to the database, and close those that there are."""
        await self._run(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        await self.hang_up()

    async def reopen(self) -> None:
        """Accept connections again."""
        await self._run(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    def execute(self, statement: str) -> None:
        """Have the server execute a statement, outside of the database."""
        asyncio.run(self._run(statement))

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(f"{SERVER}/postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def empty(url: str) -> None:
    """Delete every row of a PostgreSQL database, and start the numbers of changes again."""
    deletions = [f"DELETE FROM {name}" for name in Table.metadata.tables if name != _COUNTER]
    script = [
        "BEGIN",
        "SET LOCAL session_replication_role = replica",  # no triggers: the audit log's refuse
        *deletions,
        f"UPDATE {_COUNTER} SET revision = 0",
        "COMMIT",
    ]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(";".join(script))
    finally:
        await connection.close()


async def rows_with(db: Database, words: set[str]) -> dict[str, list[str]]:
    """Return all rows, by table, in which one of the words stands; but not what only says so."""
    found = {}
    async with db.read() as session:
        for name, table in Table.metadata.tables.items():
            if name not in _NOTES:
                rows = [repr(row) for row in (await session.execute(select(table))).all()]
                found[name] = sorted(row for row in rows if any(word in row for word in words))
    return found


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """Collect what is asked of the database meanwhile."""
    asked: list[str] = []

    def note(*call: Any) -> None:  # Any: connection, cursor, statement and more
        asked.append(call[2])

    event.listen(db._engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(db._engine.sync_engine, "before_cursor_execute", note)


@asynccontextmanager
async def without(db: Database, table: str) -> AsyncIterator[None]:
    """Take a table away, and bring it back."""
    async with db.write() as session:
        await session.execute(text(f"ALTER TABLE {table} RENAME TO away"))
    try:
        yield
    finally:
        async with db.write() as session:
            await session.execute(text(f"ALTER TABLE away RENAME TO {table}"))


@asynccontextmanager
async def without_counter(db: Database) -> AsyncIterator[None]:
    """Take away the table that the feed reads, and bring it back."""
    async with without(db, "change_counter"):
        yield
