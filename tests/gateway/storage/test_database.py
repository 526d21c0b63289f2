"""Transactions."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Flow, Profile
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def _profile(name: str) -> Profile:
    return Profile(email=f"{name}@example.com", role="admin")


async def _count(db: Database) -> int:
    async with db.read() as session:
        return (await session.execute(select(func.count()).select_from(Profile))).scalar_one()


def _connection_threads() -> set[threading.Thread]:
    """Return the threads of aiosqlite's connections."""
    return {
        thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name
    }


async def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.write() as session:
            session.add(_profile("ada"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await _count(database) == 0


@pytest.mark.parametrize("cancellations", [1, pytest.param(3, marks=pytest.mark.long)])
async def test_a_query_cancelled_while_it_connects_leaves_no_connection_open(
    url: str, cancellations: int
) -> None:
    before = _connection_threads()
    for turns in range(60):
        db = Database(url)
        query = asyncio.create_task(_count(db))
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(cancellations):
            query.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(query, return_exceptions=True)
        await db.close()
    async with asyncio.timeout(
        TIMEOUT_SECONDS
    ):  # a thread of aiosqlite may have something left to do
        while _connection_threads() - before:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always")
        gc.collect()
    # Earlier tests of this process may have left something else.
    assert not [each for each in unclosed if "sqlite" in str(each.message).lower()]


async def test_a_query_that_is_cancelled_while_it_cannot_connect_is_cancelled(
    tmp_path: Path,
) -> None:
    before = _connection_threads()
    for turns in range(20):
        db = Database(f"sqlite:///{tmp_path}/missing/slipstream.db")
        query = asyncio.create_task(_count(db))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not query.done():
            assert query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
        await asyncio.gather(query, return_exceptions=True)
        assert not _connection_threads() - before
        await db.close()


@pytest.mark.parametrize("writes", [False, True])
async def test_a_session_that_is_cancelled_ends_without_a_word(
    database: Database, caplog: pytest.LogCaptureFixture, writes: bool
) -> None:
    async def work() -> None:
        async with database.write() if writes else database.read() as session:
            session.add(_profile("ada"))
            await session.flush()
            if not writes:
                raise ValueError

    for turns in range(120):
        cancelled = asyncio.create_task(work())
        for _ in range(turns // 2):
            await asyncio.sleep(0)
        for _ in range(1 + turns % 2):
            cancelled.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(cancelled, return_exceptions=True)
        async with database.write() as session:
            await session.execute(delete(Profile))
    assert not caplog.records


async def test_many_writers_at_once_all_get_through(database: Database, url: str) -> None:
    other = Database(url)

    async def read_then_write(db: Database, number: int) -> None:
        async with db.write() as session:
            await session.execute(select(Profile))
            session.add(_profile(str(number)))

    await asyncio.gather(*(read_then_write((database, other)[n % 2], n) for n in range(40)))
    await other.close()
    assert await _count(database) == 40


async def test_rows_stay_readable_after_their_session(database: Database) -> None:
    before = now()
    async with database.write() as session:
        session.add(_profile("ada"))
    async with database.read() as session:
        row = (await session.execute(select(Profile))).scalar_one()
    assert before <= row.created_at <= now()
    assert row.created_at.tzinfo is not None


async def test_a_row_without_an_owner_is_rejected(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(Flow(profile_id="unknown", name="f", definition={}))


async def test_json_that_nothing_can_read_back_is_not_stored(
    database: Database, profile: Profile
) -> None:
    with pytest.raises(Exception, match="JSON"):
        async with database.write() as session:
            session.add(Flow(profile_id=profile.id, name="f", definition={"x": float("nan")}))


async def test_only_a_write_with_a_change_wakes_the_feed(database: Database) -> None:
    watch = database.commits.watch()
    async with database.write() as session:
        session.add(_profile("ada"))
    assert not await watch.wait(0)
    async with database.write() as session:
        session.add(_profile("bob"))
        record_change(session, ChangeKind.PROFILE, "bob")
    assert await watch.wait(0)
    assert await _count(database) == 2
