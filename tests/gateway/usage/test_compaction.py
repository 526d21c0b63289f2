"""Compaction merges minutes into days and deletes old days."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.usage_tables import UsageDay, UsageMinute
from gateway.usage.compaction import Compaction
from gateway.usage.meter import UsageMeter
from gateway.usage.service import GroupBy, Step
from gateway.usage.store import UsageStore, midnight
from tests.gateway.usage.calls import (
    LAPTOP,
    MIDNIGHT,
    WINE,
    DeploymentVersion,
    call,
    total,
    usage_report,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def compaction(database: Database) -> Compaction:
    """Return a new one, as each process has."""
    return Compaction(UsageStore(database), minute_hours=48, days=400)


async def count_at(database: Database, age: timedelta, times: int = 1, key: str = LAPTOP) -> None:
    """Record calls `age` before MIDNIGHT with a separate writer."""
    meter = UsageMeter()
    call(meter, key=key, times=times)
    call(meter, DeploymentVersion(id=WINE), error="overloaded", key=key)
    minute_buckets = list(meter.unwritten())
    for bucket in minute_buckets:
        bucket.minute = int((MIDNIGHT - age).timestamp()) // 60 * 60
    await UsageStore(database).write_calls([bucket.snapshot() for bucket in minute_buckets])


async def row_counts(database: Database) -> tuple[int, ...]:
    """Return the numbers of stored minutes and days."""
    async with database.read() as session:
        return tuple(
            [
                (await session.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (UsageMinute, UsageDay)
            ]
        )


async def compact_all(database: Database, limit: int = 100) -> int:
    """Compact all minutes before MIDNIGHT; return their number."""
    found = 0
    while some := await compaction(database).compact(MIDNIGHT, limit=limit):
        found += some
    return found


async def test_minutes_of_a_day_become_one_row_per_deployment_version_and_key(
    database: Database,
) -> None:
    for minutes in range(1, 31):
        await count_at(database, timedelta(minutes=minutes), times=3)
    await count_at(database, timedelta(hours=30), times=5)
    before = await total(database)
    assert await row_counts(database) == (62, 0)
    assert await compact_all(database, limit=7) == 62
    assert await row_counts(database) == (0, 4)
    after = await total(database)
    assert after == before
    assert (after.calls, after.errors) == (126, {"overloaded": 31})
    days = (await usage_report(database, by=GroupBy.DEPLOYMENT, step=Step.MINUTE)).items
    assert [(item.since, item.until - item.since, item.counts.calls) for item in days] == [
        (MIDNIGHT - timedelta(days=2), timedelta(days=1), 5),
        (MIDNIGHT - timedelta(days=2), timedelta(days=1), 1),
        (MIDNIGHT - timedelta(days=1), timedelta(days=1), 90),
        (MIDNIGHT - timedelta(days=1), timedelta(days=1), 30),
    ]


async def test_late_minutes_are_added_to_their_day(database: Database) -> None:
    await count_at(database, timedelta(hours=1), times=2)
    await compact_all(database)
    await count_at(database, timedelta(hours=1), times=3)
    await compact_all(database)
    assert await row_counts(database) == (0, 2)
    assert (await total(database)).calls == 7


async def test_recent_minutes_are_kept(database: Database) -> None:
    await count_at(database, timedelta(minutes=-1))
    await count_at(database, timedelta(minutes=1))
    await compact_all(database)
    assert await row_counts(database) == (2, 2)


async def test_concurrent_compactions_count_each_minute_once(database: Database) -> None:
    for minutes in range(1, 41):
        await count_at(database, timedelta(minutes=minutes))
    before = await total(database)
    await asyncio.gather(*(compact_all(database, limit=5) for _ in range(4)))
    assert await row_counts(database) == (0, 2)
    assert await total(database) == before


async def test_the_sweep_keeps_two_days_of_minutes_and_400_days(database: Database) -> None:
    today = midnight(now()) - MIDNIGHT
    for age in (timedelta(days=401), timedelta(days=399), timedelta(days=3), timedelta(hours=1)):
        await count_at(database, age - today)
    await compaction(database).sweep()
    assert await row_counts(database) == (2, 4)
    assert (await total(database)).calls == 6


async def test_old_days_are_deleted_in_batches(database: Database) -> None:
    for days in range(1, 6):
        await count_at(database, timedelta(days=days))
    await compact_all(database)
    assert await row_counts(database) == (0, 10)
    assert await compaction(database).prune(MIDNIGHT - timedelta(days=2), limit=4) == 4
    assert await compaction(database).prune(MIDNIGHT - timedelta(days=2), limit=4) == 2
    assert await compaction(database).prune(MIDNIGHT - timedelta(days=2), limit=4) == 0
    assert await row_counts(database) == (0, 4)
