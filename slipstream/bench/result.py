"""The result of one load: rate, percentiles, failures, and the model's part of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from slipstream.bench.histogram import HistogramBucket, histogram
from slipstream.bench.samples import Samples

_SAMPLE_SIZE = 1000
"""Latencies that an approximate median is taken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgress:
    """A load under way."""

    warming_up: bool
    seconds: float
    """Since the warm-up or the measurement began."""
    answered: int
    failed: int
    p50_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPercentiles:
    """Seconds from sending a call to the last byte of its answer."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTime:
    """Medians of the server's own figures (Server-Timing), in seconds."""

    infer: float
    """The model's run."""
    queue: float | None
    """Waiting for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Calls that failed in the same way."""

    status: int | None
    """HTTP status; None without a response."""
    code: str | None
    """Slipstream's error code, or how the connection failed; None where neither is known."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What a load at a given rate adds to the result."""

    offered: int
    """Calls that were due while it was measured."""
    good_per_second: float
    """Goodput: successful answers within the deadline."""
    late: int
    """Successful answers after the deadline."""
    lateness_p99_seconds: float
    """How late the generator itself noticed that calls were due."""
    without_retry_after: int
    """429 responses that lack a Retry-After header."""

    @classmethod
    def of(
        cls,
        samples: Samples,
        *,
        lateness: Sequence[float],
        offered: int,
        good_per_second: float,
        deadline: float,
    ) -> Self:
        """Summarise the samples of a load with this deadline."""
        return cls(
            offered=offered,
            good_per_second=good_per_second,
            late=sum(latency > deadline for latency in samples.latencies),
            lateness_p99_seconds=percentile(sorted(lateness), 99) if lateness else 0.0,
            without_retry_after=samples.without_retry_after,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What one load gave. Only answers with a 2xx status have a latency."""

    connections: int
    seconds: float
    """How long it was measured."""
    answered: int
    per_second: float
    failed: int
    failures: tuple[FailureCount, ...]
    """The most frequent first."""
    latency_seconds: LatencyPercentiles | None
    model_seconds: ModelTime | None
    overhead_seconds: float | None
    """p50 less the median of the model's run."""
    overhead_share: float | None
    """The overhead as a fraction of p50."""
    histogram: tuple[HistogramBucket, ...]
    waiting: int
    """Calls in flight at the end."""
    longest_wait_seconds: float
    """How long the oldest of them had waited."""
    generator_cpu: float
    """Cores that the load generator used; at 1 it could not have called more often."""
    arrivals: Arrivals | None = None
    """None in a closed loop."""


def summarize(
    samples: Samples,
    *,
    connections: int,
    seconds: float,
    per_second: float,
    waits: Sequence[float],
    cpu_seconds: float,
    arrivals: Arrivals | None = None,
) -> LoadResult:
    """Return the result of a load that lasted `seconds`.

    `waits` are the seconds that calls in flight have been waiting.
    """
    ordered = sorted(samples.latencies)
    latency = _percentiles(ordered) if ordered else None
    model = _model_time(samples)
    overhead = latency.p50 - model.infer if latency and model else None
    return LoadResult(
        connections=connections,
        seconds=seconds,
        answered=len(ordered),
        per_second=per_second,
        failed=samples.failures.total(),
        failures=tuple(
            FailureCount(status=status, code=code, count=count)
            for (status, code), count in samples.failures.most_common()
        ),
        latency_seconds=latency,
        model_seconds=model,
        overhead_seconds=overhead,
        overhead_share=overhead / latency.p50 if latency and overhead is not None else None,
        histogram=histogram(ordered, latency.p90) if latency else (),
        waiting=len(waits),
        longest_wait_seconds=max(waits, default=0.0),
        generator_cpu=cpu_seconds / seconds,
        arrivals=arrivals,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest of the ascending values that `percent` of them do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def approximate_median(values: Sequence[float]) -> float | None:
    """Return about the median, in constant time; None for no values."""
    sample = sorted(values[:: len(values) // _SAMPLE_SIZE + 1])
    return percentile(sample, 50) if sample else None


def _percentiles(ordered: Sequence[float]) -> LatencyPercentiles:
    return LatencyPercentiles(
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        max=ordered[-1],
    )


def _model_time(samples: Samples) -> ModelTime | None:
    if not samples.infer:
        return None
    queue = percentile(sorted(samples.queue), 50) if samples.queue else None
    return ModelTime(infer=percentile(sorted(samples.infer), 50), queue=queue)
