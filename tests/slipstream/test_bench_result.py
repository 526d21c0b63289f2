"""The arithmetic of `slipstream bench`: percentiles, histogram, model time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.bench.histogram import histogram
from slipstream.bench.result import approximate_median, percentile, summarize
from slipstream.bench.samples import Samples, error_code
from slipstream.bench.view import duration, report

LATENCIES = st.lists(st.floats(min_value=1e-7, max_value=1e4), min_size=1, max_size=300)


def samples(*latencies: float, server_timing: bytes = b"") -> Samples:
    filled = Samples()
    for seconds in latencies:
        filled.add_success(seconds, server_timing)
    return filled


def text(*loads: Samples, waits: tuple[float, ...] = (), cpu: float = 0.1) -> str:
    results = [
        summarize(
            one,
            connections=4,
            seconds=2.0,
            per_second=len(one.latencies) / 2.0,
            waits=waits,
            cpu_seconds=cpu,
        )
        for one in loads
    ]
    return "\n".join(str(part) for part in report(results, local=True))


@given(LATENCIES, st.integers(1, 100))
def test_every_latency_is_in_its_bucket(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    buckets = histogram(ordered, percentile(ordered, percent))
    assert sum(bucket.count for bucket in buckets) == len(ordered)
    for bucket in buckets:
        assert bucket.from_seconds < bucket.below_seconds
        inside = [v for v in ordered if bucket.from_seconds <= v < bucket.below_seconds]
        assert bucket.count == len(inside)
    for before, after in pairwise(buckets):
        assert before.below_seconds == after.from_seconds


@given(LATENCIES)
def test_a_histogram_fits_on_a_screen_and_has_no_empty_ends(values: list[float]) -> None:
    ordered = sorted(values)
    buckets = histogram(ordered, percentile(ordered, 90))
    decades = math.log10(ordered[-1] / ordered[0])
    assert len(buckets) <= 20 + 6 * math.ceil(decades)
    assert buckets[0].count > 0
    assert buckets[-1].count > 0


@given(LATENCIES, st.floats(1, 100))
def test_a_percentile_is_a_latency_that_this_share_does_not_exceed(
    values: list[float], percent: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= len(ordered) * percent / 100
    below = sum(value < found for value in ordered)
    assert below < max(len(ordered) * percent / 100, 1)


@given(LATENCIES)
def test_the_approximate_median_is_one_of_the_latencies(values: list[float]) -> None:
    assert approximate_median(values) == percentile(sorted(values), 50)
    assert approximate_median([]) is None


def test_the_overhead_is_the_latency_less_the_model_time() -> None:
    timing = b"auth;dur=0.010, queue;dur=0.250, infer;dur=0.500, total;dur=1.000"
    result = summarize(
        samples(0.002, 0.002, 0.004, server_timing=timing),
        connections=1,
        seconds=2.0,
        per_second=1.5,
        waits=(),
        cpu_seconds=1.0,
    )
    assert result.per_second == 1.5
    assert result.model_seconds is not None
    assert result.model_seconds.infer == pytest.approx(0.0005)
    assert result.model_seconds.queue == pytest.approx(0.00025)
    assert result.overhead_seconds == pytest.approx(0.0015)
    assert result.overhead_share == pytest.approx(0.75)
    assert result.generator_cpu == 0.5


def test_without_model_times_there_is_no_overhead() -> None:
    result = summarize(
        samples(0.002, server_timing=b"total;dur=1.000"),
        connections=1,
        seconds=1.0,
        per_second=1.0,
        waits=(),
        cpu_seconds=0.0,
    )
    assert result.model_seconds is None
    assert result.overhead_share is None


def test_failures_are_shown_by_status_and_code_even_without_answers() -> None:
    failed = Samples()
    failed.add_error(503, b'{"code": "overloaded"}')
    failed.add_error(503, b'{"code": "overloaded"}')
    failed.add_error(404, b'{"error": "no such model"}')
    failed.add_connection_failure("connection_lost")
    shown = text(failed)
    assert "4 connections: 2 failed: 503 overloaded" in shown
    assert "1 failed: 404\n" in shown
    assert "1 failed: connection_lost" in shown


def test_a_busy_generator_and_hanging_calls_are_reported() -> None:
    assert "busy" not in text(samples(0.1))
    assert "busy for 95%" in text(samples(0.1), cpu=1.9)
    assert "had no answer" not in text(samples(0.1), waits=(0.09,))
    assert "the oldest after 1.50 s" in text(samples(0.1), waits=(0.09, 1.5))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 7}', b'{"error": "x"}'])
def test_a_body_without_a_code_has_none(body: bytes) -> None:
    assert error_code(body) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 µs"),
        (0.000_006, "6 µs"),
        (0.000_511, "511 µs"),
        (0.000_999_7, "1.00 ms"),
        (0.002_718, "2.72 ms"),
        (0.018_04, "18.0 ms"),
        (0.128, "128 ms"),
        (0.999_9, "1.00 s"),
        (61.2, "61.2 s"),
    ],
)
def test_times_have_three_digits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
