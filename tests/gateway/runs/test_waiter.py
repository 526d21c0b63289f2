"""Waits for runs."""

from __future__ import annotations

import asyncio

import pytest

from gateway.runs.run import RunStatus
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.storage.database import Database
from tests.gateway.databases import PostgresDatabase, statements
from tests.gateway.runs.builders import COMPLETED, claimed, failed, new_run, until
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def test_a_run_that_ends_in_this_process_needs_no_query(
    database: Database, store: RunStore
) -> None:
    waiter = RunWaiter(database, store)  # never started, so it does not query
    claim = await claimed(store)
    waiting = asyncio.create_task(waiter.wait(claim.run_id, 60))
    await asyncio.sleep(0)
    ended = await store.finish(claim.run_id, 1, COMPLETED)
    assert await waiting == ended
    assert ended is not None
    assert ended.output_data == COMPLETED.output_data


async def test_a_run_that_ends_in_another_process_is_noticed(
    store: RunStore, waiter: RunWaiter
) -> None:
    claim = await claimed(store)
    waiting = asyncio.create_task(waiter.wait(claim.run_id, 60))
    await asyncio.sleep(0.05)
    ended = await store.finish(claim.run_id, 1, COMPLETED)
    assert await waiting == ended


async def test_a_run_that_has_already_ended_is_returned_at_once(
    store: RunStore, waiter: RunWaiter
) -> None:
    claim = await claimed(store)
    ended = await store.finish(claim.run_id, 1, failed())
    assert await waiter.wait(claim.run_id, 60) == ended


async def test_a_wait_ends_if_this_process_withdraws_the_run(
    database: Database, store: RunStore
) -> None:
    waiter = RunWaiter(database, store)  # never started
    new = new_run()
    await store.create(new)
    waiting = asyncio.create_task(waiter.wait(new.id, 60))
    await asyncio.sleep(0)
    assert await store.withdraw(new.id)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await waiting is None


async def test_a_wait_ends_if_another_process_withdraws_the_run(
    store: RunStore, waiter: RunWaiter
) -> None:
    new = new_run()
    await store.create(new)
    waiting = asyncio.create_task(waiter.wait(new.id, 60))
    await asyncio.sleep(0.05)
    assert await store.withdraw(new.id)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await waiting is None


async def test_a_wait_ends_at_its_timeout(store: RunStore, waiter: RunWaiter) -> None:
    claim = await claimed(store)
    assert await waiter.wait(claim.run_id, 0.05) is None
    assert await waiter.wait("unknown", 0.05) is None


@pytest.mark.parametrize("how", ["cancel", "reap", "expire"])
async def test_every_final_state_ends_a_wait(database: Database, store: RunStore, how: str) -> None:
    waiter = RunWaiter(database, store)
    if how == "expire":
        run_id = new_run().id
        await store.create(new_run(id=run_id, queue_timeout_seconds=-1.0))
    elif how == "cancel":
        run_id = new_run().id
        await store.create(new_run(id=run_id))
    else:
        run_id = (await claimed(store, lease=-1)).run_id
    waiting = asyncio.create_task(waiter.wait(run_id, 60))
    await asyncio.sleep(0)
    await {
        "cancel": lambda: store.request_cancel(run_id),
        "reap": store.reap,
        "expire": store.expire_queued,
    }[how]()
    ended = await waiting
    assert ended is not None
    assert ended.ended
    assert ended == await store.get(run_id)


async def test_thousands_of_waits_share_one_query(
    database: Database, store: RunStore, waiter: RunWaiter
) -> None:
    claims = [await claimed(store) for _ in range(3)]
    others = await asyncio.gather(*(store.create(new_run()) for _ in range(2000)))
    crowd = [asyncio.create_task(waiter.wait(other.run.id, 60)) for other in others]
    waiting = [asyncio.create_task(waiter.wait(claim.run_id, 60)) for claim in claims]
    await asyncio.sleep(0.1)
    with statements(waiter._store._db) as asked:
        for claim in claims:
            await store.finish(claim.run_id, 1, COMPLETED)
        ended = await asyncio.gather(*waiting)
    assert [run.status for run in ended if run] == [RunStatus.COMPLETED] * 3
    looks = [one for one in asked if "LEFT OUTER JOIN run_payloads" in one]
    assert 1 <= len(looks) < 100
    assert not any(task.done() for task in crowd)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert waiter._waits == {}


async def test_a_change_is_reported_once(store: RunStore, waiter: RunWaiter) -> None:
    new = new_run()
    await store.create(new)
    before = await store.get(new.id)
    assert before is not None
    for act in (
        lambda: store.claim(new.id, "w"),
        lambda: store.report(new.id, 1, {"a": b"{}"}),
        lambda: store.request_cancel(new.id),
        lambda: store.finish(new.id, 1, failed()),
    ):
        waiting = asyncio.create_task(waiter.change(new.id, before.mark, 60))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await act()
        await waiting
        after = await store.get(new.id)
        assert after is not None
        assert after.mark != before.mark
        before = after


async def test_waits_with_stop_on_drain_end_on_drain(store: RunStore, waiter: RunWaiter) -> None:
    claim = await claimed(store)
    patient = asyncio.create_task(waiter.wait(claim.run_id, 60))
    polling = asyncio.create_task(waiter.wait(claim.run_id, 60, stop_on_drain=True))
    await asyncio.sleep(0.02)
    waiter.drain()
    assert await polling is None
    assert await waiter.wait(claim.run_id, 60, stop_on_drain=True) is None
    ended = await store.finish(claim.run_id, 1, COMPLETED)
    assert await patient == ended


async def test_waits_survive_a_lost_database_connection(postgres: PostgresDatabase) -> None:
    ours, theirs = Database(postgres.url), Database(postgres.url)
    waiter = RunWaiter(ours, RunStore(ours))
    waiter.start()
    ours.commits.start()
    await until(lambda: ours.commits.connected)
    claim = await claimed(RunStore(ours))
    waiting = asyncio.create_task(waiter.wait(claim.run_id, 60))
    await asyncio.sleep(0.05)
    lost = asyncio.create_task(until(lambda: not ours.commits.connected))
    await postgres.hang_up()
    await lost
    # `theirs` connects now: a connection whose end has not arrived yet would fail the statement.
    await RunStore(theirs).finish(claim.run_id, 1, COMPLETED)
    run = await waiting
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    await until(lambda: ours.commits.connected)
    await waiter.stop()
    await ours.close()
    await theirs.close()
