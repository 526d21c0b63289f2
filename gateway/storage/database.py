"""Access to the database: `read` opens a session for queries, `write` one for a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakSet

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import QueuePool

from gateway.errors import DatabaseAwayError, StorageError
from gateway.storage import postgresql, sqlite
from gateway.storage.changes import write_changes
from gateway.storage.commit_signal import commit_signal
from gateway.storage.database_metrics import measure_queries
from gateway.storage.disk_space import is_disk_full, room_on_disk
from gateway.storage.stored_json import dump_stored
from gateway.storage.user_storage import USER_QUOTA, UserLimits, UserQuota
from telemetry.instruments import Registry

Connect = Callable[..., Awaitable["asyncpg.Connection[Any]"]]
"""Takes what asyncpg's `connect` takes."""

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_CONNECT_SECONDS = 10
_FEED_CONNECT_SECONDS = 3
"""The same for the change feed, which tries again at once: TCP would wait longer and longer."""
_MAX_CONNECTIONS = 15
"""Of a process to PostgreSQL, without the one that listens."""
_KEPT_CONNECTIONS = 5


def parse_url(text: str) -> URL:
    """Return the URL with the asyncio driver that this package uses, or raise StorageError."""
    try:
        url = make_url(text)
    except ArgumentError:
        message = "SLIPSTREAM_DATABASE_URL: expected a URL such as postgresql://user@host/name"
        raise StorageError(message) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise StorageError(f"expected a sqlite or postgresql URL, got '{url.drivername}'")
    if url.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise StorageError("SQLite needs a file: sqlite:////folder/name.db")
    return url


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL; None for PostgreSQL or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def create_engine(
    url: URL,
    *,
    connect: Connect = postgresql.connect,
    connect_seconds: float = _CONNECT_SECONDS,
    max_connections: int = _MAX_CONNECTIONS,
) -> AsyncEngine:
    """Return an engine for `url`, which connects at its first use.

    JSON columns raise as `dump_stored`. The other arguments are for PostgreSQL.
    """
    embedded = url.get_backend_name() == "sqlite"
    connect_args: dict[str, Any] = {"timeout": sqlite.BUSY_SECONDS if embedded else connect_seconds}
    connect_args["async_creator_fn"] = sqlite.connect if embedded else connect
    kept = min(_KEPT_CONNECTIONS, max_connections)
    engine = create_async_engine(
        url,
        connect_args=connect_args,
        json_serializer=lambda value: dump_stored(value).decode(),
        pool_size=kept,
        max_overflow=max_connections - kept,
    )
    if embedded:
        event.listen(engine.sync_engine, "connect", sqlite.prepare)
        event.listen(engine.sync_engine, "begin", sqlite.begin)
    else:
        event.listen(engine.sync_engine, "checkout", postgresql.replace_if_closed)
    return engine


def with_immediate_transactions(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine with transactions that take SQLite's write lock when they begin.

    A transaction that takes it later, at its first write, fails if another one wrote in between.
    """
    return engine.execution_options(**{sqlite.BEGIN: "BEGIN IMMEDIATE"})


class Database:
    """Sessions on one database. Rows stay readable after their session has ended."""

    def __init__(
        self,
        url: str,
        limits: UserLimits | None = None,
        *,
        on_refusal: Callable[[str], None] | None = None,
        refuses_while_away: bool = False,
        registry: Registry | None = None,
    ) -> None:
        """Connect to nothing yet. Without `limits`, users may store anything: see `UserQuota`.

        That has `on_refusal`. With `refuses_while_away`, `read` and `write` raise DatabaseAwayError
        while the change feed knows that the database does not answer, and what waits for it then
        fails, too. Statements are measured in `registry`, where there is one.
        """
        self.url = parse_url(url)
        self._file = sqlite_file(self.url)
        self._refuses_while_away = refuses_while_away
        self._away = False
        self._opened: WeakSet[asyncpg.Connection[Any]] = WeakSet()
        self._opening: set[asyncio.Timeout] = set()
        self._feed_engine: AsyncEngine | None = None
        if self._file is None and refuses_while_away:
            self._engine = create_engine(
                self.url, connect=self._connect, max_connections=_MAX_CONNECTIONS - 1
            )
            # A connection of its own: whether the database answers does not depend on who else has
            # taken all the others.
            self._feed_engine = create_engine(
                self.url, connect_seconds=_FEED_CONNECT_SECONDS, max_connections=1
            )
        else:
            self._engine = create_engine(self.url)
        if registry is not None:
            measure_queries(self._engine.sync_engine, registry)
        sessions = sqlite.Session if self._file else AsyncSession
        info = {} if limits is None else {USER_QUOTA: UserQuota(limits, self.folder, on_refusal)}
        self._transactions = async_sessionmaker(
            self._engine, class_=sessions, expire_on_commit=False, info=info
        )
        # On PostgreSQL a transaction costs two round trips, and adds nothing to one that only reads
        # at READ COMMITTED: every statement sees the latest commits.
        self._reads = self._transactions if self._file else _autocommitting(self._engine, info)
        feed_engine = self._feed_engine
        self._feed_reads = self._reads if feed_engine is None else _autocommitting(feed_engine)
        self._writes = async_sessionmaker(
            with_immediate_transactions(self._engine),
            class_=sessions,
            expire_on_commit=False,
            info=info,
        )
        # SQLite allows one writer. A connection that finds the file locked sleeps for milliseconds
        # before it tries again, so writers of the same process queue here instead.
        self._write_lock: asyncio.Lock | nullcontext[None] = (
            asyncio.Lock() if self._file else nullcontext()
        )
        self.commits = commit_signal(self._file, self._connect_options)
        """Tells waiting tasks what this and other processes commit, once it is started."""
        self.disk_full = False
        """Whether a write has failed because of a full disk, and none has succeeded since that was
        noticed (`StorageCounts.add_changes`)."""

    def read(self) -> AsyncSession:
        """Open a session that writes nothing.

        On SQLite it sees one state; on PostgreSQL each statement sees the latest commits.

        Raises:
            DatabaseAwayError: it is not worth asking.
        """
        self._check_away()
        return self._reads()

    def read_in_parts(self) -> AsyncSession:
        """Open one whose results can be streamed: PostgreSQL keeps a cursor in a transaction.

        Raises:
            DatabaseAwayError: as `read`.
        """
        self._check_away()
        return self._transactions()

    def read_changes(self) -> AsyncSession:
        """Open a session as `read`, for the change feed: also while the database is away."""
        return self._feed_reads()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction: committed at the end, rolled back on an exception.

        Do not nest: the inner one would wait for the outer one.

        Raises:
            DatabaseAwayError: as `read`.
        """
        self._check_away()
        try:
            async with self._write_lock, self._writes() as session:
                yield session
                changed = await write_changes(session)
                await session.commit()
        except Exception as error:
            self.disk_full = self.disk_full or is_disk_full(error)
            raise
        if changed:
            self.commits.committed()

    def set_away(self, *, away: bool) -> None:
        """Note whether the database does not answer, as far as the change feed knows."""
        if not self._refuses_while_away:
            return
        self._away = away
        if away:
            for connection in tuple(self._opened):
                connection.terminate()
            for limit in self._opening:
                if not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time())

    def disk_problem(self) -> str | None:
        """Return what is wrong with the database's disk, as far as is known; None: nothing."""
        if self.disk_full:
            return "its disk is full, nothing is stored"
        if self._file is not None and room_on_disk(self._file.parent) <= 0:
            return "its disk is nearly full, new runs are refused"
        return None

    @property
    def folder(self) -> Path | None:
        """The folder of SQLite's file; None for PostgreSQL."""
        return None if self._file is None else self._file.parent

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.get_backend_name()

    def pool_connections(self) -> tuple[int, int]:
        """Return how many connections of the pool are in use, and how many are idle."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout(), pool.checkedin()

    async def reclaim_space(self, pages: int = 1000) -> int:
        """Return up to `pages` empty pages of SQLite's file to the disk; return how many are left.

        PostgreSQL's autovacuum reclaims its own. A file created without `auto_vacuum` keeps its
        size and reuses its empty pages.
        """
        if self._file is None:
            return 0
        return await asyncio.to_thread(sqlite.vacuum, self._file, pages)

    async def close(self) -> None:
        """Stop the commit signal and close every connection."""
        await self.commits.stop()
        await self._engine.dispose()
        if self._feed_engine is not None:
            await self._feed_engine.dispose()

    def _check_away(self) -> None:
        if self._away:
            raise DatabaseAwayError("the database does not answer")

    # Any: arguments of asyncpg
    async def _connect(self, *args: Any, **options: Any) -> asyncpg.Connection[Any]:
        """Open a connection to PostgreSQL; raise as `postgresql.connect`, and DatabaseAwayError."""
        self._check_away()
        limit = asyncio.timeout(None)
        self._opening.add(limit)
        try:
            async with limit:
                connection = await postgresql.connect(*args, **options)
        except TimeoutError:
            raise DatabaseAwayError("the database does not answer") from None
        finally:
            self._opening.discard(limit)
        self._opened.add(connection)
        return connection

    # Any: what asyncpg.connect takes
    def _connect_options(self) -> dict[str, Any]:
        """Return the options of asyncpg's `connect`, for a connection outside the pool."""
        _, options = self._engine.dialect.create_connect_args(self.url)
        sqlalchemys = {"prepared_statement_cache_size", "prepared_statement_name_func"}
        kept = {name: value for name, value in options.items() if name not in sqlalchemys}
        return {**kept, "timeout": _CONNECT_SECONDS}


def _autocommitting(
    engine: AsyncEngine, info: dict[str, UserQuota] | None = None
) -> async_sessionmaker[AsyncSession]:
    reads = engine.execution_options(isolation_level="AUTOCOMMIT")
    return async_sessionmaker(reads, expire_on_commit=False, info=info or {})
