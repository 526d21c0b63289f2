"""Percentiles from buckets compared with exact ones."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.usage.histogram import (
    DurationHistogram,
    bucket_midpoint,
    bucket_of,
    count,
    merge,
    percentile,
)

DURATIONS = st.floats(min_value=1e-6, max_value=1e6)


def exact(values: list[float], share: float) -> float:
    """Return the percentile by nearest rank."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@given(DURATIONS)
def test_a_bucket_is_within_a_thirtieth_of_its_durations(seconds: float) -> None:
    assert bucket_midpoint(bucket_of(seconds)) == pytest.approx(seconds, rel=1 / 31)


@given(DURATIONS, DURATIONS)
def test_longer_durations_are_never_in_lower_buckets(one: float, other: float) -> None:
    assert (one <= other) <= (bucket_of(one) <= bucket_of(other))


@pytest.mark.parametrize("middle", [0.0002, 0.3, 40.0])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
def test_merged_percentiles_of_several_processes_are_within_5_percent(
    middle: float, share: float
) -> None:
    chance = random.Random(7)
    parts = [[middle * chance.lognormvariate(0, 1) for _ in range(2_000)] for _ in range(3)]
    merged: DurationHistogram = {}
    for part in parts:
        buckets: DurationHistogram = {}
        for seconds in part:
            count(buckets, seconds)
        merge(merged, buckets)
    values = [seconds for part in parts for seconds in part]
    assert percentile(merged, share) == pytest.approx(exact(values, share), rel=0.05)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None


@pytest.mark.parametrize("seconds", [0.0, -0.001, 1e-9])
def test_durations_below_a_microsecond_count_as_one(seconds: float) -> None:
    assert bucket_midpoint(bucket_of(seconds)) == pytest.approx(1e-6, rel=0.05)
