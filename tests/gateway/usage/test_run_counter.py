"""Runs are counted from their rows, exactly once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import ExecutionMode
from gateway.metrics import GatewayMetrics
from gateway.runs.run import RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from gateway.usage.histogram import percentile
from gateway.usage.run_counter import RunCounter
from gateway.usage.service import Step
from gateway.usage.store import UsageStore
from telemetry.instruments import render
from tests.gateway.databases import without
from tests.gateway.runs.builders import (
    COMPLETED,
    DEPLOYMENT,
    PROFILE,
    claimed,
    failed,
    finished,
    new_run,
)
from tests.gateway.runs.test_queries import asked, plan_of
from tests.gateway.usage.calls import total, usage_report

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def store(database: Database) -> RunStore:
    """The run store."""
    return RunStore(database)


def counter(database: Database) -> RunCounter:
    """Return a new counter without a delay."""
    return RunCounter(UsageStore(database), GatewayMetrics(), behind=0)


async def end(store: RunStore, ending: RunResult = COMPLETED, **changes: object) -> str:
    """Create, claim and finish a run."""
    claim = await claimed(store, **changes)
    assert await store.finish(claim.run_id, claim.attempt, ending)
    return claim.run_id


async def count_all(count: RunCounter) -> int:
    """Count until no uncounted runs are left; return their number."""
    sum_ = 0
    await asyncio.sleep(0.01)  # SQLite's clock has milliseconds
    while counted := await count.count():
        sum_ += counted
    return sum_


async def test_every_final_status_is_counted_with_its_error_code(
    database: Database, store: RunStore
) -> None:
    await end(store)
    await end(store, failed())
    await end(store, failed("inference_unavailable"))
    waiting = new_run()
    await store.create(waiting)
    await store.request_cancel(waiting.id)
    late = new_run()
    await store.create(late)
    await store.time_out(late.id, 1.0)
    lost = await claimed(store, lease=-1)
    assert (await store.reap()).lost == (lost.run_id,)
    tired = new_run(queue_timeout_seconds=0)
    await store.create(tired)
    await asyncio.sleep(0.01)
    assert await store.expire_queued() == [tired.id]
    await store.create(new_run())  # has not ended
    await claimed(store)
    assert await count_all(counter(database)) == 7
    found = await total(database, PROFILE)
    assert (found.calls, found.runs) == (0, 7)
    assert found.run_errors == {
        "flow_failed": 1,
        "inference_unavailable": 1,
        "cancelled": 1,
        "timeout": 1,
        "worker_lost": 1,
        "queue_timeout": 1,
    }


async def test_counting_again_counts_only_new_runs(database: Database, store: RunStore) -> None:
    first, second = counter(database), counter(database)
    await end(store)
    await end(store)
    assert await count_all(first) == 2
    assert await count_all(second) == 0
    await end(store)
    assert await count_all(second) == 1
    assert await count_all(first) == 0
    assert (await total(database, PROFILE)).runs == 3


async def test_concurrent_counters_count_each_run_once(database: Database, store: RunStore) -> None:
    counters = [counter(database) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(end(store) for _ in range(15)))
        await asyncio.sleep(0.01)
        await asyncio.gather(*(count.count() for count in counters))
    await asyncio.gather(*(count_all(count) for count in counters))
    assert (await total(database, PROFILE)).runs == 45


async def test_runs_beyond_one_transaction_are_all_counted(
    database: Database, store: RunStore
) -> None:
    moment = now() - timedelta(minutes=5)
    runs = [finished(mode=ExecutionMode.SYNC) for _ in range(450)]
    await store.record_finished(runs)
    async with database.write() as session:  # equal times, as in a burst within a millisecond
        await session.execute(update(RunRow).values(finished_at=moment))
    assert await count_all(counter(database)) == 450
    usage = await usage_report(database, PROFILE, step=Step.MINUTE)
    (item,) = usage.items
    assert item.since == moment.replace(second=0, microsecond=0)
    assert item.counts.runs == 450


async def test_recorded_fast_calls_are_not_counted_as_runs(
    database: Database, store: RunStore
) -> None:
    await store.record_finished([finished(), finished()])
    assert await count_all(counter(database)) == 0


async def test_a_failed_count_is_repeated_by_the_next_process(
    database: Database, store: RunStore
) -> None:
    await end(store)
    await asyncio.sleep(0.01)
    async with without(database, "usage_minutes"):
        with pytest.raises(SQLAlchemyError):
            await counter(database).count()
    assert await count_all(counter(database)) == 1
    assert (await total(database, PROFILE)).runs == 1


@pytest.mark.databases("postgresql")  # SQLite has one writer at a time
async def test_a_run_committed_late_is_not_skipped(database: Database, store: RunStore) -> None:
    slow = await claimed(store)
    async with database.write() as session:
        statement = update(RunRow).where(RunRow.id == slow.run_id)
        await session.execute(
            statement.values(status="completed", finished_at=text("statement_timestamp()"))
        )
        await end(store)  # ends later but is committed first
        assert await count_all(counter(database)) == 0
    assert await count_all(counter(database)) == 2


async def test_queue_boot_and_run_times_are_separate_also_in_prometheus(
    database: Database, store: RunStore
) -> None:
    metrics = GatewayMetrics()
    ending = RunResult(status=RunStatus.COMPLETED, duration_seconds=3.0, boot_seconds=2.0)
    await end(store, ending)
    await count_all(RunCounter(UsageStore(database), metrics, behind=0))
    found = await total(database, PROFILE)
    assert set(found.seconds) == {"queue", "boot", "run"}
    assert percentile(found.seconds["run"], 0.5) == pytest.approx(3.0, rel=0.05)
    assert percentile(found.seconds["boot"], 0.5) == pytest.approx(2.0, rel=0.05)
    shown = render([metrics.registry]).decode()
    labels = f'deployment="{DEPLOYMENT}",mode="async",type="api"'
    for name in ("run_queue_seconds", "run_boot_seconds", "run_seconds"):
        assert f"{name}_count{{{labels}}} 1.0" in shown
    assert f"run_seconds_sum{{{labels}}} 3.0" in shown


async def test_ended_runs_are_in_prometheus_by_status_and_code(
    database: Database, store: RunStore
) -> None:
    metrics = GatewayMetrics()
    await end(store)
    for _ in range(2):
        await end(store, failed("inference_unavailable"))
    waiting = new_run()
    await store.create(waiting)
    await store.request_cancel(waiting.id)
    await count_all(RunCounter(UsageStore(database), metrics, behind=0))
    shown = render([metrics.registry]).decode()
    ended = {
        ("completed", ""): 1.0,
        ("failed", "inference_unavailable"): 2.0,
        ("cancelled", "cancelled"): 1.0,
    }
    for (status, code), runs in ended.items():
        labels = (
            f'code="{code}",deployment="{DEPLOYMENT}",mode="async",status="{status}",type="api"'
        )
        assert f"runs_total{{{labels}}} {runs}" in shown
    labels = f'deployment="{DEPLOYMENT}",mode="async",type="api"'
    assert f"run_queue_seconds_count{{{labels}}} 4.0" in shown
    assert f"run_seconds_count{{{labels}}} 3.0" in shown, "one has never started"
    metrics.remove_deployment(DEPLOYMENT)
    assert DEPLOYMENT not in render([metrics.registry]).decode()


async def test_uncounted_runs_are_found_by_an_index(database: Database, store: RunStore) -> None:
    for _ in range(3):
        await store.record_finished([finished() for _ in range(1000)])
        await store.record_finished([finished(mode=ExecutionMode.SYNC) for _ in range(200)])
    await count_all(counter(database))
    await end(store)
    await asyncio.sleep(0.01)
    statements = await asked(database, counter(database).count())
    plans = [await plan_of(database, *one) for one in statements if "FROM runs" in one[0]]
    assert len(plans) == 2
    for plan in plans:
        assert "ix_runs_counted" in plan
