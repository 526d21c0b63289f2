"""How processes learn of each other's commits."""

from __future__ import annotations

import asyncio

import pytest

from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from tests.gateway.databases import statements
from tests.gateway.runs.builders import new_run, until
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def _commit(db: Database) -> None:
    async with db.write() as session:
        record_change(session, ChangeKind.FLOW, "flow 1")


async def _connected(*databases: Database) -> None:
    for db in databases:
        db.commits.start()
    for db in databases:
        await until(lambda db=db: db.commits.connected or db.commits.must_poll)


async def test_a_commit_of_this_process_wakes_its_watches(database: Database) -> None:
    watch = database.commits.watch()
    await _commit(database)
    assert await watch.wait(TIMEOUT_SECONDS)
    assert not await watch.wait(0), "a wake-up ends one wait"


async def test_a_commit_of_another_process_changes_the_stamp(database: Database, url: str) -> None:
    other = Database(url)
    await _connected(database, other)
    watch = database.commits.watch()
    await until(lambda: not watch.changed())
    await _commit(other)
    await until(watch.changed)
    await until(lambda: not watch.changed())
    await other.close()


async def test_a_commit_of_another_process_wakes_the_watches(database: Database, url: str) -> None:
    other = Database(url)
    await _connected(database, other)
    await _commit(other)
    await until(database.commits.wakes)
    watch = database.commits.watch()
    for _ in range(3):
        await until(lambda: not watch.changed())
        await watch.wait(0)  # what is left of the commit before
        await _commit(other)
        assert await watch.wait(TIMEOUT_SECONDS)
    await other.close()


@pytest.mark.databases("sqlite")
async def test_a_log_that_is_deleted_and_created_again_wakes_the_watches(
    database: Database, url: str
) -> None:
    database.commits.start()
    watch = database.commits.watch()
    for _ in range(2):
        assert not database.commits.wakes(), "there is no log"
        other = Database(url)
        await _commit(other)
        assert database.commits.wakes()
        await _commit(other)
        assert await watch.wait(TIMEOUT_SECONDS)
        await other.close()  # the last connection deletes the log
        await until(lambda: not database.commits.wakes())


@pytest.mark.databases("sqlite")
async def test_sqlite_carries_no_messages(database: Database) -> None:
    with statements(database) as executed:
        database.commits.start()
        database.commits.publish("unheard")
        await database.commits.stop()
    assert (executed, database.commits.connected) == ([], False)


@pytest.mark.databases("sqlite")
async def test_a_second_write_within_a_tick_of_the_files_clock_counts_as_a_change(
    database: Database,
) -> None:
    watch = database.commits.watch()
    await _commit(database)
    assert watch.changed()
    assert watch.changed(), "the same stamp, which is too recent to be trusted"
    await until(lambda: not watch.changed())


@pytest.mark.databases("postgresql")
async def test_postgresql_delivers_messages_to_other_processes(
    database: Database, url: str
) -> None:
    other = Database(url)
    messages: asyncio.Queue[str | None] = asyncio.Queue()
    database.commits.subscribe(messages.put_nowait)
    await _connected(database, other)
    assert await messages.get() is None, "messages sent before the connection may have been missed"
    ids = [new_run().id for _ in range(500)]
    for run_id in ids:
        other.commits.publish(run_id)
    assert [await messages.get() for _ in ids] == ids
    await _commit(other)
    other.commits.publish("last")
    assert await messages.get() == "last", "listeners are not called for commits"
    await other.close()
