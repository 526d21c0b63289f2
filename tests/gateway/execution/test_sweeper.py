"""The sweep: slow databases, and runs of processes that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from gateway.container import Container
from gateway.execution import sweeper
from gateway.runs.run import RunStatus
from gateway.runs.store import RunStore
from telemetry.logs import logger
from tests.gateway.execution.holder import Holder
from tests.gateway.runs.builders import claimed, new_run


@pytest.mark.parametrize(("seconds", "answers_well"), [(0.0, True), (0.2, False)])
async def test_a_slow_step_counts_as_a_failure_of_the_database(
    seconds: float, answers_well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "_SLOW_SECONDS", 0.1)
    step = sweeper._PeriodicTask(lambda: asyncio.sleep(seconds), 60.0)
    assert await step.run_if_due() is answers_well
    assert await step.run_if_due() is True, "it is not due again"


async def test_a_step_that_fails_for_whatever_reason_is_logged_and_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0

    async def fail() -> None:
        nonlocal steps
        steps += 1
        raise RuntimeError("a bug")

    monkeypatch.setattr(sweeper, "log", logger("gateway.execution.sweeper"))
    step = sweeper._PeriodicTask(fail, 0.0)
    with capture_logs() as logs:
        assert [await step.run_if_due() for _ in range(2)] == [False, False]
    assert steps == 2
    assert [str(entry["exc_info"]) for entry in logs] == ["a bug", "a bug"]


@pytest.fixture
async def sweeping(container: Container) -> AsyncIterator[None]:
    """The sweep runs, as in a gateway that has just started."""
    container.execution.sweeper.start()
    yield
    await container.execution.sweeper.stop()


@pytest.mark.parametrize(("queued", "seconds"), [(0, 10), (1000, 30)])
async def test_a_run_that_was_published_is_due_again_later_in_a_backlog(
    queued: int, seconds: int, store: RunStore, container: Container
) -> None:
    new = new_run()
    await store.create(new)
    sweep = container.execution.sweeper
    sweep._queued = queued
    sweep._launcher._published([new.id])
    await sweep._mark_published()

    async def is_due_within(seconds: float) -> bool:
        return bool(await store.due_for_publishing(new.type, older_than=-seconds))

    assert not await is_due_within(seconds - 2)
    assert await is_due_within(seconds)


@pytest.mark.processes
@pytest.mark.usefixtures("sweeping")
async def test_runs_of_a_killed_process_are_queued_again_long_before_their_leases_end(
    store: RunStore, holder: Holder
) -> None:
    claim = await claimed(store, holder.owner, lease=3600, retry_safe=True)
    elsewhere = await claimed(store, "worker-1@elsewhere", lease=3600, retry_safe=True)
    holder.kill()
    for _ in range(600):
        marks = await store.marks([claim.run_id, elsewhere.run_id])
        if marks[claim.run_id].status is RunStatus.QUEUED:
            break
        await asyncio.sleep(0.05)
    assert marks[claim.run_id].status is RunStatus.QUEUED
    assert marks[elsewhere.run_id].status is RunStatus.RUNNING
