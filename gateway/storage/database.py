"""One database behind two context managers: `read` for a look, `write` for one transaction."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.errors import StorageError

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_BUSY_SECONDS = 10
"""How long a SQLite connection waits for another process's write."""
_CONNECT_SECONDS = 10
_BEGIN = "sqlite_begin"
_INCREMENTAL = 2
"""SQLite's number for `auto_vacuum=INCREMENTAL`."""


def parse_url(text: str) -> URL:
    """Return the URL with the asyncio driver that this package uses, or raise StorageError."""
    try:
        url = make_url(text)
    except ArgumentError:
        message = "expected a database URL such as postgresql://user@host/name"
        raise StorageError(f"{message}: SLIPSTREAM_DATABASE_URL is none") from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise StorageError(f"expected a sqlite or postgresql URL, got '{url.drivername}'")
    if url.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise StorageError("SQLite needs a file: sqlite:////folder/name.db")
    return url


def sqlite_file(url: URL) -> Path | None:
    """Return the file behind a SQLite URL; None for another database, or one in memory."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def create_engine(url: URL) -> AsyncEngine:
    """Return an engine for `url`; nothing is opened before the first use.

    JSON columns refuse NaN and infinities with ValueError: no database can read those back.
    """
    dump = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_async_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS if sqlite else _CONNECT_SECONDS},
        json_serializer=dump,
        pool_pre_ping=not sqlite,  # a file does not hang up
    )
    if sqlite:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def with_immediate_transactions(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine, whose transactions take SQLite's write lock at once.

    A transaction that reads first and writes later fails where another has written in between.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


FileStamp = tuple[int, int]
"""Date (nanoseconds) and size of the file that every write to a SQLite database goes to."""


class Database:
    """Sessions on one database. Rows stay readable after their session has ended."""

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self._engine = create_engine(self.url)
        self._reads = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writes = async_sessionmaker(
            with_immediate_transactions(self._engine), expire_on_commit=False
        )
        file = sqlite_file(self.url)
        self._file = file
        self._log = None if file is None else Path(f"{file}-wal")
        # SQLite lets one write at a time, and whoever finds it busy sleeps: milliseconds, which
        # those of one process need not, for they can wait in line.
        self._turn: asyncio.Lock | nullcontext[None] = asyncio.Lock() if file else nullcontext()
        self.written = asyncio.Event()
        """Set after each commit of this process that the feed may tell of; its reader clears it."""

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Open a session that sees one consistent state and writes nothing."""
        async with self._reads() as session:
            yield session

    @asynccontextmanager
    async def write(self, *, notify: bool = True) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction: committed at the end, rolled back on an exception.

        Never inside of another one: they would wait for each other. With `notify` off, nothing in
        it is for the feed of changes, which is left alone.
        """
        async with self._turn, self._writes() as session, session.begin():
            yield session
        if notify:
            self.written.set()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.get_backend_name()

    # Any: whatever the driver knows
    def driver_options(self) -> dict[str, Any]:
        """Return what the driver's own `connect` takes, for a connection outside of the pool."""
        _, options = self._engine.dialect.create_connect_args(self.url)
        ours = {"prepared_statement_cache_size", "prepared_statement_name_func"}
        kept = {name: value for name, value in options.items() if name not in ours}
        return {**kept, "timeout": _CONNECT_SECONDS}

    async def reclaim_space(self, pages: int = 1000) -> int:
        """Shorten SQLite's file by up to `pages` that are empty; return how many are so still.

        PostgreSQL's autovacuum does its own. A file made before there was `auto_vacuum` keeps its
        size, and fills the empty pages again.
        """
        if self._file is None:
            return 0
        return await asyncio.to_thread(_vacuum, self._file, pages)

    def file_stamp(self) -> FileStamp | None:
        """Return what changes with nearly every write of any process; None where nothing tells."""
        if self._log is None:
            return None
        try:
            found = self._log.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions on its own: _begin_sqlite says how.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _vacuum(file: Path, pages: int) -> int:
    with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        (vacuum,) = connection.execute("PRAGMA auto_vacuum").fetchone()
        if vacuum != _INCREMENTAL:
            return 0
        # A script, for it is run to its end: a plain statement would free one page, and stop.
        connection.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
        # The file itself is cut at the next checkpoint; this one waits for nobody.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        (empty,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(empty)
