"""How many calls took how long, over time: a grid of limited size, from histograms."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.usage.histogram import BUCKETS_PER_OCTAVE, DurationHistogram, bucket_start, merge
from gateway.usage.store import DAY, midnight

MAX_COLUMNS = 500
_MAX_ROWS = 24
"""Unless there are more powers of two between the shortest and the longest duration."""
_WIDTHS = (2, 4, 8, BUCKETS_PER_OCTAVE)
"""Buckets that a row may join. Each begins a row at every power of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Calls by time and duration: `counts[i][j]` is of column `i` and row `j`."""

    times: Sequence[datetime]
    """The beginning of each column, and the end of the last one."""
    bounds_seconds: Sequence[float]
    """The shortest duration of each row, and the end of the last one; empty without calls."""
    counts: Sequence[Sequence[int]]


class HeatmapColumns:
    """Collects histograms of minutes and days in columns of equal length.

    A day whose minutes have been compacted is one column, as it cannot be divided.
    """

    def __init__(self, since: datetime, until: datetime, length: timedelta) -> None:
        self._since = since
        self._until = until
        self._length = length
        self._found: dict[datetime, DurationHistogram] = {}
        self._whole_days: set[datetime] = set()

    @property
    def steps(self) -> int:
        """The number of columns, if no day is a whole one."""
        return -((self._since - self._until) // self._length)

    def add(self, began_at: datetime, length: timedelta, durations: Mapping[int, int]) -> None:
        """Add the durations of a minute or a day."""
        if length > self._length:
            self._whole_days.add(began_at)
        first = began_at - (began_at - self._since) % self._length
        merge(self._found.setdefault(first, {}), durations)

    async def heatmap(self) -> Heatmap:
        """Return the grid, and yield to the event loop after each column."""
        columns = self._columns()
        rows = _Rows.of({bucket for found in self._found.values() for bucket in found})
        counts = []
        for durations in columns.values():
            counts.append(rows.counts(durations))
            await asyncio.sleep(0)
        last = max(columns)
        end = last + (DAY if last in self._whole_days else self._length)
        return Heatmap(times=[*columns, end], bounds_seconds=rows.bounds, counts=counts)

    def _columns(self) -> dict[datetime, DurationHistogram]:
        """Return the durations of every column, in order of time."""
        firsts = (self._since + number * self._length for number in range(self.steps))
        columns: dict[datetime, DurationHistogram] = {self._start(first): {} for first in firsts}
        for first, durations in self._found.items():
            merge(columns[self._start(first)], durations)
        return columns

    def _start(self, first: datetime) -> datetime:
        day = midnight(first)
        return day if day in self._whole_days else first


@dataclass(frozen=True, slots=True)
class _Rows:
    """Ranges of durations, each of `width` buckets."""

    first: int
    """The first row is that of the buckets from `first * width` on."""
    number: int
    width: int

    @classmethod
    def of(cls, buckets: Collection[int]) -> _Rows:
        """Return the finest rows for these buckets of which there are not too many."""
        if not buckets:
            return cls(first=0, number=0, width=1)
        for width in _WIDTHS:
            first = min(buckets) // width
            number = max(buckets) // width - first + 1
            if number <= _MAX_ROWS:
                break
        return cls(first=first, number=number, width=width)

    @property
    def bounds(self) -> list[float]:
        """The beginning of each row, and the end of the last one."""
        rows = range(self.first, self.first + self.number + 1) if self.number else ()
        return [bucket_start(row * self.width) for row in rows]

    def counts(self, durations: Mapping[int, int]) -> list[int]:
        """Return how many durations each row has."""
        counts = [0] * self.number
        for bucket, number in durations.items():
            counts[bucket // self.width - self.first] += number
        return counts
