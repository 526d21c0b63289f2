"""Latency histograms: fine buckets for most calls, coarse ones for the tail."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


def _steps(from_1: int, from_2: int, from_5: int) -> tuple[float, ...]:
    """Return bounds from 1 to 10 whose steps, in hundredths, grow with them."""
    parts = (range(100, 200, from_1), range(200, 500, from_2), range(500, 1000, from_5))
    return tuple(hundredths / 100 for part in parts for hundredths in part)


_FINE = (
    _steps(2, 5, 10),
    _steps(5, 10, 20),
    _steps(10, 20, 50),
    _steps(20, 50, 100),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
)
"""Bounds within a decade, the finest first."""
_COARSE = _FINE[-1]
_MAX_FINE_BUCKETS = 16
"""Fine buckets, unless the calls span many decades."""
_MIN_SECONDS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramBucket:
    """Calls that took at least `from_seconds` and less than `below_seconds`."""

    from_seconds: float
    below_seconds: float
    count: int


def histogram(ordered: Sequence[float], bulk: float) -> tuple[HistogramBucket, ...]:
    """Return contiguous buckets that hold every latency; the latencies are in ascending order.

    Up to `bulk` seconds the steps are as fine as can be read, from there to the maximum coarse.
    """
    if not ordered:
        return ()
    low = max(ordered[0], _MIN_SECONDS)
    bounds = _fine_bounds(low, max(bulk, low))
    if ordered[-1] >= bounds[-1]:
        bounds += [at for at in _bounds(_COARSE, bounds[-1], ordered[-1]) if at > bounds[-1]]
    bounds[0] = min(bounds[0], ordered[0])
    below = [bisect_left(ordered, bound) for bound in bounds]
    return tuple(
        HistogramBucket(from_seconds=bounds[at], below_seconds=bounds[at + 1], count=after - before)
        for at, (before, after) in enumerate(pairwise(below))
    )


def _fine_bounds(low: float, high: float) -> list[float]:
    """Return the finest bounds that give at most _MAX_FINE_BUCKETS buckets."""
    bounds: list[float] = []
    for series in _FINE:
        bounds = _bounds(series, low, high)
        if len(bounds) <= _MAX_FINE_BUCKETS + 1:
            break
    return bounds


def _bounds(series: Sequence[float], low: float, high: float) -> list[float]:
    """Return ascending bounds, the first at most `low`, the last above `high`."""
    # One decade more on either side: the logarithms may be off by a rounding.
    decades = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 3)
    values = [round(step * 10.0**decade, 2 - decade) for decade in decades for step in series]
    return values[bisect_right(values, low) - 1 : bisect_right(values, high) + 1]
