"""Durations by how long they took, in fixed buckets that add up over processes and time. Pure.

Every power of two is divided into sixteen equal parts. What a bucket is taken for, its middle, is
off by 1/33 (3.1 %) at most of whatever lies in it, so no percentile of any sum of them is off by
more. `frexp` finds the bucket without a search; only those that were hit are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

BUCKETS_PER_OCTAVE = 16
"""Of a power of two."""
MIN_SECONDS = 1e-6
"""What took less counts as this."""

DurationHistogram = dict[int, int]
"""Bucket → how many durations are in it."""


def bucket_of(seconds: float) -> int:
    """Return the bucket that a duration belongs to; they ascend with the duration."""
    # `cell.py` has this once more, for many at once
    fraction, exponent = math.frexp(seconds if seconds > MIN_SECONDS else MIN_SECONDS)
    return exponent * BUCKETS_PER_OCTAVE + int(fraction * (2 * BUCKETS_PER_OCTAVE))


def bucket_midpoint(bucket: int) -> float:
    """Return the duration that stands for all in a bucket: its middle."""
    exponent, part = divmod(bucket - BUCKETS_PER_OCTAVE, BUCKETS_PER_OCTAVE)
    return math.ldexp((BUCKETS_PER_OCTAVE + part + 0.5) / (2 * BUCKETS_PER_OCTAVE), exponent)


def count(buckets: DurationHistogram, seconds: float) -> None:
    """Add one duration."""
    bucket = bucket_of(seconds)
    buckets[bucket] = buckets.get(bucket, 0) + 1


def merge(into: DurationHistogram, others: Mapping[int, int]) -> None:
    """Add what is in `others`."""
    for bucket, number in others.items():
        into[bucket] = into.get(bucket, 0) + number


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that a `share` (0 to 1) of the durations took at most; None for none.

    That is the nearest rank: with `n` durations in order, the one numbered `ceil(share * n)`.
    """
    total = sum(buckets.values())
    if not total:
        return None
    left = max(1, math.ceil(share * total))
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return bucket_midpoint(bucket)
    raise AssertionError("the ranks of all buckets add up to the total")
