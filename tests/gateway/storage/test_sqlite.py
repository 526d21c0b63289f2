"""Cursors that fetch what they execute, and transactions that begin with their first statement."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import aiosqlite
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import OperationalError

from gateway.storage.database import Database
from gateway.storage.tables import Profile

_ROWS = 250
"""More than twice those that come with the statement."""


async def _add_profiles(database: Database, count: int = _ROWS) -> None:
    rows = [{"email": f"{number:03}@example.com", "role": "admin"} for number in range(count)]
    async with database.write() as session:
        if rows:
            await session.execute(insert(Profile), rows)


async def _count(database: Database) -> int:
    async with database.read() as session:
        return (await session.execute(select(func.count()).select_from(Profile))).scalar_one()


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, _ROWS])
async def test_all_rows_of_a_statement_are_returned_in_order(
    database: Database, count: int
) -> None:
    await _add_profiles(database, count)
    async with database.read() as session:
        found = (await session.execute(select(Profile.email).order_by(Profile.email))).scalars()
        assert list(found) == [f"{number:03}@example.com" for number in range(count)]


async def test_rows_are_streamed_in_parts_and_may_be_left(database: Database) -> None:
    await _add_profiles(database)
    emails = select(Profile.email).order_by(Profile.email)
    async with database.read_in_parts() as session:
        rows = await session.stream_scalars(emails.execution_options(yield_per=70))
        found = [len(part) async for part in rows.partitions()]
        left = await session.stream_scalars(emails)
        first = await left.first()  # and the cursor is closed
        rest = await session.stream_scalars(emails)
        assert [one async for one in rest][-1] == f"{_ROWS - 1:03}@example.com"
    assert (found, first) == ([70, 70, 70, 40], "000@example.com")
    await _add_profiles_again(database)


async def _add_profiles_again(database: Database) -> None:
    """Write: a read whose cursor were open would have kept the connection's snapshot."""
    async with database.write() as session:
        await session.execute(insert(Profile), [{"email": "ada@example.com", "role": "admin"}])
    assert await _count(database) == _ROWS + 1


async def test_changed_rows_are_counted(database: Database) -> None:
    await _add_profiles(database)
    async with database.write() as session:
        changed = await session.execute(
            text("UPDATE profiles SET role = 'viewer' WHERE email < '100'")
        )
        returned = await session.execute(
            text("UPDATE profiles SET role = 'viewer' WHERE email < '150' RETURNING email")
        )
        assert (changed.rowcount, len(returned.all())) == (100, 150)  # type: ignore[attr-defined]


async def test_a_statement_takes_one_trip_to_the_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _count(database)  # connects
    trips = 0
    execute = aiosqlite.Connection._execute

    async def counted(*args: object, **options: object) -> object:
        nonlocal trips
        trips += 1
        return await execute(*args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    async with database.write() as session:
        await session.execute(text("UPDATE profiles SET role = 'viewer'"))
        await session.execute(text("SELECT 1"))
    assert trips == 3  # with the commit
    async with database.read() as session:
        await session.execute(text("SELECT 1"))
    assert trips == 5  # with the rollback
    async with database.write():
        pass
    assert trips == 5


async def test_a_failed_statement_leaves_no_transaction_open(database: Database) -> None:
    async def write_badly() -> None:
        async with database.write() as session:
            await session.execute(insert(Profile), [{"email": "ada@example.com", "role": "admin"}])
            await session.execute(text("SELECT missing"))

    with pytest.raises(OperationalError, match="no such column"):
        await write_badly()
    assert await _count(database) == 0
    await _add_profiles(database, 1)
    assert await _count(database) == 1


async def test_a_transaction_of_another_process_is_waited_for_by_the_first_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.read() as session:
        await session.execute(text("PRAGMA busy_timeout = 1"))
    with closing(sqlite3.connect(database.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            await _add_profiles(database)
        other.execute("ROLLBACK")
    await _add_profiles(database)
    assert await _count(database) == _ROWS
