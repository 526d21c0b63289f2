"""Histograms of durations in fixed buckets, which can be added over processes and time. Pure.

Every power of two is divided into sixteen equal buckets. The midpoint of a bucket differs from any
duration in it by at most 1/33 (3.1 %), and so do percentiles of any sum of histograms. `frexp`
finds the bucket without a search; empty buckets are not stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

BUCKETS_PER_OCTAVE = 16
"""Buckets per power of two."""
MIN_SECONDS = 1e-6
"""Shorter durations count as this."""

DurationHistogram = dict[int, int]
"""Bucket → number of durations."""


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration. Longer durations have higher buckets."""
    # `minute_bucket.py` computes the same for many durations at once
    fraction, exponent = math.frexp(seconds if seconds > MIN_SECONDS else MIN_SECONDS)
    return exponent * BUCKETS_PER_OCTAVE + int(fraction * (2 * BUCKETS_PER_OCTAVE))


def bucket_midpoint(bucket: int) -> float:
    """Return the duration in the middle of a bucket, which represents it."""
    exponent, part = divmod(bucket - BUCKETS_PER_OCTAVE, BUCKETS_PER_OCTAVE)
    return math.ldexp((BUCKETS_PER_OCTAVE + part + 0.5) / (2 * BUCKETS_PER_OCTAVE), exponent)


def bucket_start(bucket: int) -> float:
    """Return the shortest duration that a bucket holds; the bucket before it ends there."""
    exponent, part = divmod(bucket - BUCKETS_PER_OCTAVE, BUCKETS_PER_OCTAVE)
    return math.ldexp((BUCKETS_PER_OCTAVE + part) / (2 * BUCKETS_PER_OCTAVE), exponent)


def count(buckets: DurationHistogram, seconds: float) -> None:
    """Add one duration."""
    bucket = bucket_of(seconds)
    buckets[bucket] = buckets.get(bucket, 0) + 1


def merge(into: DurationHistogram, others: Mapping[int, int]) -> None:
    """Add the durations of `others`."""
    for bucket, number in others.items():
        into[bucket] = into.get(bucket, 0) + number


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that a `share` (0 to 1) of the durations took at most, None if empty.

    It uses the nearest rank: of `n` sorted durations, the one numbered `ceil(share * n)`.
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
