"""The feed of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs

from gateway.storage import change_feed
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.tables import Change, ChangeCounter, Profile
from telemetry.logs import logger
from tests.gateway.databases import PostgresDatabase, without_counter
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class _Heard:
    """A listener, and a queue of what it heard."""

    def __init__(self, feed: ChangeFeed, *kinds: ChangeKind) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        for kind in kinds:
            feed.subscribe(kind, self.queue.put_nowait)

    async def next(self) -> str | None:
        return await asyncio.wait_for(self.queue.get(), TIMEOUT_SECONDS)


@asynccontextmanager
async def _running(feed: ChangeFeed) -> AsyncIterator[None]:
    feed.start()
    try:
        yield
    finally:
        await feed.stop()


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not true():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


async def _change(db: Database, entity_id: str, kind: ChangeKind = ChangeKind.FLOW) -> None:
    async with db.write() as session:
        record_change(session, kind, entity_id)


async def test_the_first_poll_reports_that_everything_may_have_changed(database: Database) -> None:
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW)
    async with _running(feed):
        assert await heard.next() is None


async def test_what_another_process_writes_is_heard_in_order(database: Database, url: str) -> None:
    other = Database(url)
    feed = ChangeFeed(database, interval=0.02)
    flows, keys = _Heard(feed, ChangeKind.FLOW), _Heard(feed, ChangeKind.API_KEY)
    async with _running(feed):
        assert await flows.next() is None
        for number in range(5):
            await _change(other, f"flow {number}")
        assert [await flows.next() for _ in range(5)] == [f"flow {n}" for n in range(5)]
    await other.close()
    assert keys.queue.qsize() == 1, "the first look, and no other kind's changes"


async def test_own_writes_are_heard_without_waiting_for_the_interval(database: Database) -> None:
    feed = ChangeFeed(database, interval=3600)
    heard = _Heard(feed, ChangeKind.FLOW)
    async with _running(feed):
        assert await heard.next() is None
        await _change(database, "flow 1")
        assert await heard.next() == "flow 1"


async def test_a_change_that_is_rolled_back_is_never_heard(database: Database) -> None:
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW)
    await feed.poll()

    async def change_and_fail() -> None:
        async with database.write() as session:
            record_change(session, ChangeKind.FLOW, "never")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change_and_fail()
    await _change(database, "flow 1")
    await feed.poll()
    assert [heard.queue.get_nowait() for _ in range(2)] == [None, "flow 1"]


async def test_concurrent_writers_leave_no_gaps_in_the_numbers(
    database: Database, url: str
) -> None:
    other = Database(url)
    await asyncio.gather(*(_change((database, other)[n % 2], str(n)) for n in range(30)))
    await other.close()
    async with database.read() as session:
        found = await session.execute(select(Change.revision).order_by(Change.revision))
        assert list(found.scalars()) == list(range(1, 31))


async def test_one_transaction_may_record_several_changes(database: Database) -> None:
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW, ChangeKind.MODEL)
    await feed.poll()
    async with database.write() as session:
        for name in ("a", "b", "a"):
            record_change(session, ChangeKind.FLOW, name)
        record_change(session, ChangeKind.MODEL, "a")
    await _change(database, "c")
    await feed.poll()
    assert [heard.queue.get_nowait() for _ in range(6)] == [None, None, "a", "b", "a", "c"]


@pytest.mark.databases("postgresql")
async def test_recording_a_change_locks_nothing_until_the_commit(
    database: Database, postgres: PostgresDatabase
) -> None:
    other = Database(postgres.url)
    async with database.write() as session:
        session.add(Profile(email="ada@example.com", role="admin"))
    row = select(Profile).with_for_update()

    async def record_then_lock() -> None:
        async with database.write() as session:
            record_change(session, ChangeKind.FLOW, "flow 1")
            await session.execute(row)

    async with other.write() as session:
        await session.execute(row)
        waiting = asyncio.create_task(record_then_lock())
        await postgres.wait_for_blocked()
        record_change(session, ChangeKind.FLOW, "flow 2")
    await waiting
    async with database.read() as session:
        found = await session.execute(select(Change.entity_id).order_by(Change.revision))
        assert list(found.scalars()) == ["flow 2", "flow 1"]
    await other.close()


async def test_a_reader_that_fell_too_far_behind_reloads_everything(database: Database) -> None:
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW)
    await feed.poll()
    async with database.write() as session:
        await session.execute(update(ChangeCounter).values(revision=20_000))
    await _change(database, "flow 1")
    await feed.poll()
    assert [heard.queue.get_nowait() for _ in range(2)] == [None, None]


async def test_a_restored_backup_reloads_everything(database: Database) -> None:
    await _change(database, "flow 1")
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW)
    await feed.poll()
    async with database.write() as session:
        await session.execute(update(ChangeCounter).values(revision=0))
    await feed.poll()
    assert [heard.queue.get_nowait() for _ in range(2)] == [None, None]


async def test_old_changes_are_pruned(database: Database) -> None:
    await _change(database, "old")
    async with database.write() as session:
        await session.execute(update(ChangeCounter).values(revision=256 * 100 - 1))
    await _change(database, "new")
    async with database.read() as session:
        found = await session.execute(select(Change.entity_id))
        assert list(found.scalars()) == ["new"]


async def test_the_feed_goes_on_when_the_database_comes_back(database: Database) -> None:
    feed = ChangeFeed(database, interval=0.01)
    heard = _Heard(feed, ChangeKind.FLOW)
    async with _running(feed):
        assert await heard.next() is None
        assert feed.database_answers()
        async with without_counter(database):
            with pytest.raises(SQLAlchemyError):
                await feed.poll()
            await _until(lambda: not feed.database_answers())
        await _change(database, "flow 1")
        assert await heard.next() == "flow 1"
        await _until(feed.database_answers)


async def test_a_database_that_hangs_does_not_answer(
    postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "_OVERDUE_SECONDS", 0.2)
    db, other = Database(postgres.url), Database(postgres.url)
    feed = ChangeFeed(db, interval=0.01)
    async with _running(feed):
        await _until(feed.database_answers)
        async with other.write() as session:
            await session.execute(text("LOCK TABLE change_counter IN ACCESS EXCLUSIVE MODE"))
            await _until(lambda: not feed.database_answers())
        await _until(feed.database_answers)
    await db.close()
    await other.close()


async def test_kinds_of_a_newer_version_are_passed_over(database: Database) -> None:
    feed = ChangeFeed(database)
    heard = _Heard(feed, ChangeKind.FLOW)
    await feed.poll()
    async with database.write() as session:
        session.add(Change(revision=1, kind="of tomorrow", entity_id="x"))
        await session.execute(update(ChangeCounter).values(revision=1))
    await _change(database, "flow 1")
    await feed.poll()
    assert [heard.queue.get_nowait() for _ in range(2)] == [None, "flow 1"]


async def test_a_server_that_hangs_up_loses_no_change_and_is_not_away(
    postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "log", logger("gateway.storage.change_feed"))
    db, other = Database(postgres.url), Database(postgres.url)
    feed = ChangeFeed(db, interval=0.01)
    heard = _Heard(feed, ChangeKind.FLOW)
    async with _running(feed):
        assert await heard.next() is None
        with capture_logs() as logs:
            await postgres.hang_up()
            await _change(other, "flow 1")
            assert await heard.next() == "flow 1"
        assert not [entry for entry in logs if entry["event"] == "database_unavailable"]
    await db.close()
    await other.close()
