"""What one load gave: rate, percentiles, failures, and how much of it is the model's own time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slipstream.bench.histogram import Bucket, histogram
from slipstream.bench.tally import Tally

_ENOUGH = 1000
"""Latencies that a median for the eye is taken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a load goes, while it goes."""

    warming_up: bool
    seconds: float
    """Since the warm-up, or the measuring, began."""
    answered: int
    failed: int
    p50_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of the time from writing a call to the last byte of its answer, in seconds."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTime:
    """Medians of what the server says in Server-Timing, in seconds."""

    infer: float
    """The model itself."""
    queue: float | None
    """Waiting for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Calls that failed in the same way."""

    status: int | None
    """Of HTTP; None where there was no answer."""
    code: str | None
    """Slipstream's error code, or what became of the connection; None where nothing is known."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one number of connections gave. Only answers with a 2xx status have a latency."""

    connections: int
    seconds: float
    """How long it was measured."""
    answered: int
    per_second: float
    failed: int
    failures: tuple[Failure, ...]
    """The most frequent first."""
    latency_seconds: Latency | None
    model_seconds: ModelTime | None
    overhead_seconds: float | None
    """p50 without the median of the model itself."""
    overhead_share: float | None
    """The same as a part of p50."""
    histogram: tuple[Bucket, ...]
    waiting: int
    """Calls in flight at the end."""
    longest_wait_seconds: float
    """How long the oldest of them had waited."""
    generator_cpu: float
    """Cores that the load generator used: 1 means that it could not have called more often."""


def summary(
    tally: Tally,
    *,
    connections: int,
    seconds: float,
    waits: Sequence[float],
    cpu_seconds: float,
) -> Result:
    """Return what a tally says after `seconds`; `waits` are of the calls without answer so far."""
    ordered = sorted(tally.latencies)
    latency = _latency(ordered) if ordered else None
    model = _model_time(tally)
    overhead = latency.p50 - model.infer if latency and model else None
    return Result(
        connections=connections,
        seconds=seconds,
        answered=len(ordered),
        per_second=len(ordered) / seconds,
        failed=tally.failures.total(),
        failures=tuple(
            Failure(status=status, code=code, count=count)
            for (status, code), count in tally.failures.most_common()
        ),
        latency_seconds=latency,
        model_seconds=model,
        overhead_seconds=overhead,
        overhead_share=overhead / latency.p50 if latency and overhead is not None else None,
        histogram=histogram(ordered, latency.p90) if latency else (),
        waiting=len(waits),
        longest_wait_seconds=max(waits, default=0.0),
        generator_cpu=cpu_seconds / seconds,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` of the ascending values do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def median_of_some(values: Sequence[float]) -> float | None:
    """Return about the median, in a time that does not grow with the values; None of nothing."""
    some = sorted(values[:: len(values) // _ENOUGH + 1])
    return percentile(some, 50) if some else None


def _latency(ordered: Sequence[float]) -> Latency:
    return Latency(
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        max=ordered[-1],
    )


def _model_time(tally: Tally) -> ModelTime | None:
    if not tally.infer:
        return None
    queue = percentile(sorted(tally.queue), 50) if tally.queue else None
    return ModelTime(infer=percentile(sorted(tally.infer), 50), queue=queue)
