"""Counting in memory, before anything is written."""

from __future__ import annotations

import random
from time import perf_counter, thread_time

from gateway.metrics import STAGES
from gateway.usage.histogram import count
from gateway.usage.meter import MINUTE, OTHER_KEYS, UsageMeter
from gateway.usage.minute_bucket import MinuteBucket
from tests.gateway.usage.calls import (
    IRIS,
    LAPTOP,
    PHONE,
    WINE,
    DeploymentVersion,
    call,
    finished_call,
)
from tests.gateway.usage.calls import STAGES as STAGE_SECONDS


def minute_buckets(meter: UsageMeter) -> dict[tuple[str, int, str], MinuteBucket]:
    """Return the pending buckets with all durations sorted."""
    found = {bucket.name: bucket for bucket in meter.unwritten()}
    for bucket in found.values():
        bucket.fold()
    return found


def test_calls_are_counted_by_deployment_version_and_key() -> None:
    meter = UsageMeter()
    call(meter, times=3)
    call(meter, DeploymentVersion(version=2))
    call(meter, DeploymentVersion(id=WINE), key=LAPTOP, times=2)
    found = {name: bucket.calls for name, bucket in minute_buckets(meter).items()}
    assert found == {(IRIS, 1, PHONE): 3, (IRIS, 2, PHONE): 1, (WINE, 1, LAPTOP): 2}


def test_sorting_durations_in_bulk_gives_the_same_buckets() -> None:
    chance = random.Random(3)
    bucket, expected = (
        MinuteBucket((IRIS, 1, PHONE), "", 0, ""),
        {name: {} for name in (*STAGES, "total")},
    )
    for number in range(1_000):
        took = [10 ** chance.uniform(-7, 3) for _ in range(6)]
        known = took[: number % 6]
        bucket.count(took[5], known)
        count(expected["total"], took[5])
        for stage, seconds in zip(STAGES, known, strict=False):
            count(expected[stage], seconds)
    assert bucket.calls == 1_000
    bucket.fold()
    assert bucket.counts.seconds == expected
    bucket.fold()
    assert (bucket.calls, bucket.counts.seconds) == (1_000, expected)


def test_errors_are_counted_by_code_and_have_no_stages() -> None:
    meter = UsageMeter()
    call(meter, error="overloaded", times=2)
    call(meter, error="invalid_input")
    counts = minute_buckets(meter)[IRIS, 1, PHONE].counts
    assert counts.errors == {"overloaded": 2, "invalid_input": 1}
    assert set(counts.seconds) == {"total"}


def test_the_first_call_of_the_next_minute_closes_a_minute() -> None:
    meter = UsageMeter()
    call(meter)
    meter.count(DeploymentVersion(), PHONE, [finished_call(1, ended=perf_counter() + MINUTE)])
    first, second = meter.unwritten()
    assert (first.calls, second.calls) == (1, 1)
    # the wall clock has not moved: the same minute from another source, so both rows are kept
    assert (first.minute, first.source) != (second.minute, second.source)


def test_keys_beyond_the_limit_share_a_bucket_and_then_count_as_dropped() -> None:
    meter = UsageMeter(max_buckets=3)
    for number in range(10):
        call(meter, key=f"key {number}")
    found = {name[2]: bucket.calls for name, bucket in minute_buckets(meter).items()}
    assert found == {"key 0": 1, "key 1": 1, "key 2": 1, OTHER_KEYS: 7}
    for version in range(2, 10):
        call(meter, DeploymentVersion(version=version))
    assert len(minute_buckets(meter)) == 6
    assert meter.dropped == 6


def test_a_written_minute_is_written_again_only_after_new_calls() -> None:
    meter = UsageMeter()
    call(meter, times=2)
    (bucket,) = meter.unwritten()
    snapshot = bucket.snapshot()
    call(meter)
    meter.mark_written([snapshot])
    assert [each.calls for each in meter.unwritten()] == [3]
    meter.mark_written([bucket.snapshot()])
    assert list(meter.unwritten()) == []


def test_counting_a_call_takes_a_few_microseconds() -> None:
    meter = UsageMeter()
    calls = [finished_call(0.001, stages=STAGE_SECONDS) for _ in range(20_000)]
    before = thread_time()
    meter.count(DeploymentVersion(), PHONE, calls)
    assert (thread_time() - before) / 20_000 < 20e-6


def test_writing_past_minutes_frees_their_memory() -> None:
    meter = UsageMeter()
    call(meter)
    late = perf_counter() + MINUTE
    meter.count(DeploymentVersion(), PHONE, [finished_call(1, ended=late)])
    assert len(meter._closed) == 1
    meter.mark_written([bucket.snapshot() for bucket in list(meter.unwritten())])
    assert meter._closed == []
