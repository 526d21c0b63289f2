"""Counts are written from memory to the database."""

from __future__ import annotations

import asyncio
import math
import random
from time import perf_counter

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.metrics import GatewayMetrics
from gateway.storage.database import Database
from gateway.storage.usage_tables import UsageMinute
from gateway.usage.histogram import percentile
from gateway.usage.meter import MINUTE
from gateway.usage.writer import UsageWriter
from tests.gateway.databases import PostgresDatabase, statements, without
from tests.gateway.usage.calls import (
    ADA,
    BOB,
    PHONE,
    WINE,
    DeploymentVersion,
    call,
    finished_call,
    total,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def usage_writer(database: Database) -> UsageWriter:
    """Return a new one, as each process has."""
    return UsageWriter(database, GatewayMetrics(), minute_hours=48, days=400)


async def rows(database: Database) -> int:
    """Return the number of stored minutes."""
    async with database.read() as session:
        counted = await session.execute(select(func.count()).select_from(UsageMinute))
        return counted.scalar_one()


async def test_counts_of_two_processes_add_up(database: Database) -> None:
    first, second = usage_writer(database), usage_writer(database)
    call(first.meter, times=300)
    call(first.meter, error="overloaded", times=7)
    call(second.meter, times=500, seconds=0.002)
    call(second.meter, error="overloaded", times=2)
    call(second.meter, error="invalid_input")
    await first.flush()
    await second.flush()
    found = await total(database)
    assert found.calls == 810
    assert found.errors == {"overloaded": 9, "invalid_input": 1}
    assert sum(found.seconds["total"].values()) == 810
    assert sum(found.seconds["infer"].values()) == 800
    assert percentile(found.seconds["total"], 0.25) == pytest.approx(0.001, rel=0.05)
    assert percentile(found.seconds["total"], 0.75) == pytest.approx(0.002, rel=0.05)


async def test_percentiles_over_processes_and_minutes_cover_all_calls(
    database: Database,
) -> None:
    chance, values = random.Random(11), []
    for _ in range(3):
        writer = usage_writer(database)
        for minute in range(2):
            for _ in range(700):
                seconds = 0.0003 * chance.lognormvariate(0, 0.8)
                values.append(seconds)
                record = finished_call(seconds, ended=perf_counter() + minute * MINUTE)
                writer.meter.count(DeploymentVersion(), PHONE, [record])
            await writer.flush()
    found = (await total(database)).seconds["total"]
    for share in (0.5, 0.95, 0.99):
        exact = sorted(values)[math.ceil(share * len(values)) - 1]
        assert percentile(found, share) == pytest.approx(exact, rel=0.05)


async def test_a_process_writes_one_row_per_minute(
    database: Database,
) -> None:
    writer = usage_writer(database)
    for _ in range(5):
        call(writer.meter)
        await writer.flush()
    assert (await total(database)).calls == 5
    assert await rows(database) <= 2  # a minute may have ended meanwhile
    with statements(database) as executed:
        await writer.flush()
    assert executed == []


async def test_writing_the_same_counts_twice_changes_nothing(
    database: Database,
) -> None:
    writer = usage_writer(database)
    call(writer.meter, times=4)
    snapshots = [bucket.snapshot() for bucket in writer.meter.unwritten()]
    await writer._store.write_calls(
        snapshots
    )  # then the connection is lost, so the outcome is unknown
    call(writer.meter)
    await writer.flush()
    assert (await total(database)).calls == 5


async def test_counts_survive_a_database_outage(database: Database) -> None:
    writer = usage_writer(database)
    call(writer.meter, times=3)
    async with without(database, "usage_minutes"):
        for _ in range(2):
            call(writer.meter, DeploymentVersion(id=WINE))
            with pytest.raises(SQLAlchemyError):
                await writer.flush()
    await writer.flush()
    assert (await total(database)).calls == 5


async def test_counts_survive_broken_connections(postgres: PostgresDatabase) -> None:
    database = Database(postgres.url)
    writer = usage_writer(database)
    before = (await total(database)).calls
    call(writer.meter, times=3)
    await writer.flush()
    await postgres.hang_up()
    await asyncio.sleep(0.05)  # the loop reads that the connections have ended
    call(writer.meter, times=2)
    await writer.flush()
    assert (await total(database)).calls == before + 5
    await database.close()


async def test_a_stopping_process_writes_its_remaining_counts(database: Database) -> None:
    writer = usage_writer(database)
    writer.start()
    call(writer.meter, times=2)
    await writer.close()
    assert (await total(database)).calls == 2


async def test_each_profile_has_its_own_counts(database: Database) -> None:
    writer = usage_writer(database)
    call(writer.meter, times=2)
    call(writer.meter, DeploymentVersion(id=WINE, profile_id=BOB))
    await writer.flush()
    assert [(await total(database, who)).calls for who in (ADA, BOB)] == [2, 1]


async def test_many_buckets_are_written_in_several_transactions(database: Database) -> None:
    writer = usage_writer(database)
    for number in range(450):
        call(writer.meter, key=f"key {number}")
    await writer.flush()
    assert await rows(database) == 450
    assert list(writer.meter.unwritten()) == []
    assert (await total(database)).calls == 450


async def test_calls_that_could_not_be_counted_appear_in_the_metrics(database: Database) -> None:
    metrics = GatewayMetrics()
    writer = UsageWriter(database, metrics, minute_hours=48, days=400)
    writer.meter._max_buckets = 1
    for version in range(5):
        call(writer.meter, DeploymentVersion(version=version))
    await writer.flush()
    assert metrics.calls_uncounted.value == 3
