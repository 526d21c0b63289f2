"""The sweep: slow databases, and runs of processes that have ended."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from gateway.broker.broker import Queue
from gateway.broker.publisher import Publisher
from gateway.container import Container
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.execution import sweeper
from gateway.runs.rows import RUNS
from gateway.runs.run import RunStatus
from gateway.runs.store import RunStore
from gateway.storage.sql import seconds_from_now
from telemetry.logs import logger
from tests.gateway.execution.holder import Holder
from tests.gateway.runs.builders import claimed, new_run
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.mark.parametrize(("seconds", "answers_well"), [(0.0, True), (0.2, False)])
async def test_a_slow_step_counts_as_a_failure_of_the_database(
    seconds: float, answers_well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "_SLOW_SECONDS", 0.1)
    step = sweeper._PeriodicTask(lambda: asyncio.sleep(seconds), 60.0)
    assert await step.run_if_due() is answers_well
    assert await step.run_if_due() is True, "it is not due again"


async def test_a_step_that_fails_for_whatever_reason_is_repeated_and_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [RuntimeError("a bug"), RuntimeError("a bug"), None, RuntimeError("another")]
    left = iter(results)

    async def fail() -> None:
        if error := next(left):
            raise error

    monkeypatch.setattr(sweeper, "log", logger("gateway.execution.sweeper"))
    step = sweeper._PeriodicTask(fail, 0.0)
    with capture_logs() as logs:
        succeeded = [await step.run_if_due() for _ in results]
    assert succeeded == [False, False, True, False]
    assert [str(entry["exc_info"]) for entry in logs] == ["a bug", "another"]


@pytest.mark.parametrize(("age", "seconds"), [(0, 3), (20, 10), (90, 30)])
async def test_a_run_that_was_published_is_due_again_the_later_the_older_it_is(
    age: int, seconds: int, store: RunStore, container: Container
) -> None:
    new = new_run()
    await store.create(new)
    async with container.db.write() as session:
        created_at = {"created_at": seconds_from_now(-age)}
        await session.execute(sa.update(RUNS).where(RUNS.c.id == new.id).values(created_at))
    sweep = container.execution.sweeper
    sweep._launcher._published([new.id])
    await sweep._mark_published()

    async def is_due_within(seconds: float) -> bool:
        return bool(await store.due_for_publishing(new.type, older_than=-seconds))

    assert not await is_due_within(seconds - 2)
    assert await is_due_within(seconds)


async def test_nothing_is_published_again_while_ids_wait_for_the_broker(
    store: RunStore, container: Container
) -> None:
    waiting, due, in_process = new_run(), new_run(), new_run(type=DeploymentType.SERVER)
    for new in (waiting, due, in_process):
        await store.create(new)
    await store.make_due([due.id, in_process.id])
    sweep = container.execution.sweeper
    publisher = sweep._launcher.publisher  # not started: it sends nothing
    publisher.publish(waiting.id, Queue.ASYNC)
    await sweep._publish_due()
    assert publisher.waiting == 1
    assert sweep._launcher.take_launched() == [in_process.id]


async def test_only_what_the_broker_has_lost_is_published_again(
    store: RunStore, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.broker.publisher._DEPTHS_SECONDS", 30.0)
    waiting = [new_run() for _ in range(5)]
    for new in waiting:
        await store.create(new)

    async def all_are_due() -> None:
        await store.make_due([new.id for new in waiting])

    await all_are_due()
    sync = new_run(mode=ExecutionMode.SYNC)
    await store.create(sync)
    sweep = container.execution.sweeper
    publisher = sweep._launcher.publisher
    await sweep._publish_due()
    assert publisher.waiting == 0, "a broker that cannot be asked may have all of them"
    publisher.start()
    try:
        for number, new in enumerate(waiting, start=1):
            publisher.publish(new.id, Queue.ASYNC)
            await until_sent(publisher, number)  # so that each has a file
        settings = container.settings
        folder = settings.broker_folder / Queue.ASYNC.name_in(settings.queue_prefix)
        for _ in range(3):
            await all_are_due()
            await sweep._publish_due()
        await until_sent(publisher, 5)
        assert await publisher.depths() == {Queue.SYNC: 0, Queue.ASYNC: 5}

        for message in sorted(folder.iterdir())[:2]:
            message.unlink()
        for _ in range(3):
            await all_are_due()
            await sweep._publish_due()
            await until_sent(publisher, 7)
        assert await publisher.depths() == {Queue.SYNC: 0, Queue.ASYNC: 5}

        assert await claim_and_hand_back(store) not in {new.id for new in waiting}
        await store.make_due([sync.id])
        await sweep._publish_due()
        await until_sent(publisher, 9)
        assert await publisher.depths() == {Queue.SYNC: 1, Queue.ASYNC: 6}

        monkeypatch.setattr(sweeper, "_MANY_MESSAGES", 5)
        await all_are_due()
        await store.make_due([waiting[2].id], seconds=-1900)
        await sweep._publish_due()
        await until_sent(publisher, 10)

        for message in folder.iterdir():
            message.unlink()
        await all_are_due()
        await sweep._publish_due()
        await until_sent(publisher, 15)
    finally:
        await publisher.close()


async def claim_and_hand_back(store: RunStore) -> str:
    """Return the id of another run, which a worker has given back."""
    claim = await claimed(store, "worker-1@elsewhere", retry_safe=True)
    await store.hand_back([(claim.run_id, claim.attempt)])
    return claim.run_id


async def until_sent(publisher: Publisher, count: int) -> None:
    """Wait until the publisher has sent so many ids, no more, and reported them."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while publisher.state().sent < count:  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0.01)
    await publisher.depths()  # comes after the report
    assert publisher.state().sent == count


@pytest.mark.processes
async def test_runs_of_a_killed_process_are_queued_again_long_before_their_leases_end(
    store: RunStore, container: Container, holder: Holder
) -> None:
    claim = await claimed(store, holder.owner, lease=3600, retry_safe=True)
    elsewhere = await claimed(store, "worker-1@elsewhere", lease=3600, retry_safe=True)
    # Only now: the sweep cancels what has not begun and, like these runs, has no deployment.
    container.execution.sweeper.start()
    try:
        holder.kill()
        for _ in range(600):
            marks = await store.marks([claim.run_id, elsewhere.run_id])
            if marks[claim.run_id].status is RunStatus.QUEUED:
                break
            await asyncio.sleep(0.05)
        assert marks[claim.run_id].status is RunStatus.QUEUED
        assert marks[elsewhere.run_id].status is RunStatus.RUNNING
    finally:
        await container.execution.sweeper.stop()
