"""Latencies by how long they took: fine where most of them are, coarse in the tail."""

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
_MOST_FINE = 16
"""Buckets of the bulk, unless it spans many decades."""
_LEAST_SECONDS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The calls that took at least `from_seconds` and less than `below_seconds`."""

    from_seconds: float
    below_seconds: float
    count: int


def histogram(ordered: Sequence[float], bulk: float) -> tuple[Bucket, ...]:
    """Return the buckets of latencies, which are in ascending order.

    They touch each other, and together hold every latency: up to `bulk` seconds in as fine steps as
    can be read, in coarse ones from there to the maximum.
    """
    if not ordered:
        return ()
    least = max(ordered[0], _LEAST_SECONDS)
    bounds = _fine_bounds(least, max(bulk, least))
    if ordered[-1] >= bounds[-1]:
        bounds += [at for at in _bounds(_COARSE, bounds[-1], ordered[-1]) if at > bounds[-1]]
    bounds[0] = min(bounds[0], ordered[0])
    below = [bisect_left(ordered, bound) for bound in bounds]
    return tuple(
        Bucket(from_seconds=bounds[at], below_seconds=bounds[at + 1], count=after - before)
        for at, (before, after) in enumerate(pairwise(below))
    )


def _fine_bounds(low: float, high: float) -> list[float]:
    """Return the finest bounds that do not make too many buckets."""
    bounds: list[float] = []
    for series in _FINE:
        bounds = _bounds(series, low, high)
        if len(bounds) <= _MOST_FINE + 1:
            break
    return bounds


def _bounds(series: Sequence[float], low: float, high: float) -> list[float]:
    """Return ascending bounds, the first at most `low`, the last above `high`."""
    # One decade more on either side than the logarithms say: they may be off by a rounding.
    decades = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 3)
    values = [round(step * 10.0**decade, 2 - decade) for decade in decades for step in series]
    return values[bisect_right(values, low) - 1 : bisect_right(values, high) + 1]
