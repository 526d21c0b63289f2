"""Connections to SQLite: aiosqlite's, with a thread each, and sessions on them that end whole."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import aiosqlite
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import ConnectionPoolEntry

_Result = TypeVar("_Result")

BUSY_SECONDS = 10
"""How long a connection waits for another process's write lock."""
BEGIN = "sqlite_begin"
"""Execution option with the statement that begins a transaction; without it, `BEGIN`."""
_INCREMENTAL = 2
"""SQLite's number for `auto_vacuum=INCREMENTAL`."""
_FIRST_ROWS = 100
"""That are fetched where a statement is executed: of most, these are all."""


class Session(AsyncSession):
    """A session that ends whole, however often its task is cancelled: file and thread are here.

    SQLAlchemy logs the traceback of a rollback that was cut short, and opens a new connection.
    """

    async def commit(self) -> None:
        """Commit, and raise a cancellation afterwards."""
        await _to_its_end(super().commit())

    async def close(self) -> None:
        """Close, and raise a cancellation afterwards."""
        await _to_its_end(super().close())

    async def __aexit__(self, *_: object) -> None:
        await self.close()


# Any: sqlite3's own arguments
async def connect(*args: Any, **options: Any) -> aiosqlite.Connection:
    """Open a connection. Where the task is cancelled meanwhile, aiosqlite would leave it open."""
    connection = _Connection(partial(sqlite3.connect, *args, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does
    try:
        return await _to_its_end(connection)
    except BaseException:
        await _to_its_end(_end_thread(connection))
        raise


def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Set up a new connection of SQLAlchemy's pool."""
    # The driver must not begin transactions by itself: `begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def begin(connection: Connection) -> None:
    """Begin a transaction of SQLAlchemy's."""
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def vacuum(file: Path, pages: int) -> int:
    """Return up to `pages` empty pages of the file to the disk; return how many are left."""
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
        if mode != _INCREMENTAL:
            return 0
        # executescript runs the pragma to its end; execute would free one page only.
        connection.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
        # The file is truncated at the next checkpoint; a passive one blocks no writer.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(free_pages)


class _Connection(aiosqlite.Connection):
    """A connection of aiosqlite that makes fewer trips to its thread, which it tells to stop once.

    SQLAlchemy tells it twice where a task is cancelled while it closes its connection, and
    aiosqlite 0.22 would never resolve the second future.
    """

    _beginning = ""
    """The statement that begins a transaction, which goes with the first one that follows."""
    _ended = False
    """Whether nothing was executed since the end of a transaction, which SQLAlchemy ends twice."""

    def stop(self) -> asyncio.Future[None] | None:
        return super().stop() if self._running else None

    def cursor(self) -> _Cursor:  # type: ignore[override]  # aiosqlite's is awaited
        return _Cursor(self)

    async def run(self, function: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what `function` returns in the connection's thread."""
        result: _Result = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
        return result

    def begin(self, statement: str) -> None:
        """Begin a transaction with the next statement."""
        self._beginning, self._ended = statement, False

    def take_beginning(self) -> str:
        """Return what the next statement has to begin with: it is executed now."""
        beginning, self._beginning = self._beginning, ""
        self._ended = False
        return beginning

    async def commit(self) -> None:
        if not self.take_beginning():
            await super().commit()
            self._ended = True

    async def rollback(self) -> None:
        if not self._ended and not self.take_beginning():
            await super().rollback()
            self._ended = True


# Any: what DB-API says of rows, values and columns, here and below
_Rows = list[Any]


class _Executed(NamedTuple):
    """What a statement has given."""

    rows: _Rows
    open: sqlite3.Cursor | None
    """What has more rows."""
    description: Any
    rowcount: int
    lastrowid: int | None


class _Cursor:
    """What SQLAlchemy asks of a cursor, with one trip to the connection's thread a statement.

    aiosqlite's own takes four, for the cursor, the statement, its rows and the end, and each costs
    more than a small statement does.
    """

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._result = _Executed([], None, None, -1, None)

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute one statement and fetch its first rows."""
        if statement.startswith("BEGIN"):
            self._connection.begin(statement)
            return
        first = self._connection.take_beginning()
        self._result = await self._connection.run(lambda on: _execute(on, first, statement, values))

    async def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """Execute one statement, which gives no rows, for each of `values`."""
        first = self._connection.take_beginning()
        self._result = await self._connection.run(
            lambda on: _execute_many(on, first, statement, values)
        )

    @property
    def description(self) -> Any:
        """The columns of the rows; None: the statement gives none."""
        return self._result.description

    @property
    def rowcount(self) -> int:
        """How many rows the statement has changed; -1: it changes none."""
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last."""
        return self._result.lastrowid

    async def fetchone(self) -> Any:
        """Return the next row; None: there are no more."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> _Rows:
        """Return the next rows, as many as there are up to `size`."""
        wanted, fetched, more = size or self.arraysize, self._result.rows, self._result.open
        if len(fetched) < wanted and more is not None:
            missing = wanted - len(fetched)
            fetched = fetched + await self._connection.run(lambda _: more.fetchmany(missing))
        self._result = self._result._replace(rows=fetched[wanted:])
        return fetched[:wanted]

    async def fetchall(self) -> _Rows:
        """Return all rows that are left."""
        fetched, more = self._result.rows, self._result.open
        if more is not None:
            fetched = fetched + await self._connection.run(lambda _: more.fetchall())
            self._result = self._result._replace(rowcount=more.rowcount)
        self._result = self._result._replace(rows=[])
        return fetched

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany(_FIRST_ROWS):
            for row in rows:
                yield row

    async def close(self) -> None:
        """Forget the rows that are left."""
        more = self._result.open
        self._result = self._result._replace(rows=[], open=None)
        if more is not None:
            await self._connection.run(lambda _: more.close())


def _execute(
    connection: sqlite3.Connection, first: str, statement: str, values: Sequence[Any]
) -> _Executed:
    if first:
        connection.execute(first)
    cursor = connection.execute(statement, values)
    columns = cursor.description
    rows = [] if columns is None else cursor.fetchmany(_FIRST_ROWS)
    left = len(rows) == _FIRST_ROWS
    result = _Executed(rows, cursor if left else None, columns, cursor.rowcount, cursor.lastrowid)
    if not left:
        cursor.close()
    return result


def _execute_many(
    connection: sqlite3.Connection, first: str, statement: str, values: Sequence[Sequence[Any]]
) -> _Executed:
    if first:
        connection.execute(first)
    with closing(connection.executemany(statement, values)) as cursor:
        return _Executed([], None, None, cursor.rowcount, cursor.lastrowid)


async def _end_thread(connection: _Connection) -> None:
    """Close the connection, if it is open; its thread replies to no loop that may be closed."""
    with suppress(sqlite3.Error):
        await connection.close()
    await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - aiosqlite does not join it


async def _to_its_end(work: Awaitable[_Result]) -> _Result:
    """Return the result of `work`; cancelled meanwhile, however often, raise that when it ends."""
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # marks it as retrieved
        raise cancelled
    return task.result()
