"""Counts calls in memory, minute by minute, until they are written. For one event loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from time import perf_counter, time
from typing import Protocol
from uuid import uuid4

from gateway.usage.minute_bucket import BucketKey, BucketSnapshot, MinuteBucket

MINUTE = 60
OTHER_KEYS = "other"
"""Stands for all keys that are too many to be told apart."""
_MOST_CELLS = 10_000
"""That wait to be written with keys of their own: a few KB each. As many more without."""


class MeteredVersion(Protocol):
    """The version of a deployment that was called."""

    @property
    def id(self) -> str:
        """The deployment."""

    @property
    def version(self) -> int:
        """The version."""

    @property
    def profile_id(self) -> str:
        """Whose it is."""


class UsageMeter:
    """The calls that this process has answered and not yet written.

    Where the database is away, minutes pile up: at most `most` cells keep their key, then calls are
    counted under OTHER, and at twice as many not at all, but in `dropped`.
    """

    def __init__(self, *, most: int = _MOST_CELLS) -> None:
        self._most = most
        self.dropped = 0
        """Calls that were not counted."""
        self._open: dict[BucketKey, MinuteBucket] = {}
        self._closed: list[MinuteBucket] = []
        """Of minutes that are over."""
        self._source = ""
        self._minute = 0
        self._ends = 0.0
        self._start_minute(perf_counter())

    def observe(
        self,
        called: MeteredVersion,
        key_id: str,
        *,
        error: str | None,
        ended: float,
        seconds: float,
        stages: Sequence[float],
    ) -> None:
        """Count one answered call: about a microsecond.

        Args:
            called: what was called.
            key_id: by whom; empty where no key was used.
            error: the code that it was answered with, or None.
            ended: `perf_counter()` of the answer.
            seconds: what it took.
            stages: seconds in the first, or in all, of `gateway.metrics.STAGES`.
        """
        if ended >= self._ends:
            self._start_minute(ended)
        bucket = self._open.get((called.id, called.version, key_id))
        if bucket is None:
            bucket = self._bucket(called, key_id)
            if bucket is None:
                self.dropped += 1
                return
        if error is not None:
            errors, code = bucket.counts.errors, str(error)  # of an enum no more than its word
            errors[code] = errors.get(code, 0) + 1
        bucket.count(seconds, stages)

    def unwritten(self) -> Iterator[MinuteBucket]:
        """Yield the cells with calls that are not written, those of past minutes first.

        For a list made at once: cells come and go with each call.
        """
        for bucket in chain(self._closed, self._open.values()):
            if bucket.written != bucket.calls:
                yield bucket

    def mark_written(self, snapshots: Sequence[BucketSnapshot]) -> None:
        """Take note that these are in the database, and give past minutes' memory back."""
        for snapshot in snapshots:
            snapshot.bucket.written = snapshot.calls
        self._closed = [bucket for bucket in self._closed if bucket.written != bucket.calls]

    def _bucket(self, called: MeteredVersion, key_id: str) -> MinuteBucket | None:
        """Return a cell for a call that has none; None where there are too many."""
        minute_buckets = len(self._open) + len(self._closed)
        if minute_buckets >= self._most:
            key_id = OTHER_KEYS
        name = (called.id, called.version, key_id)
        found = self._open.get(name)
        if found is None and minute_buckets < 2 * self._most:
            found = MinuteBucket(name, called.profile_id, self._minute, self._source)
            self._open[name] = found
        return found

    def _start_minute(self, at: float) -> None:
        """Begin another minute."""
        seconds = time()
        minute = int(seconds) // MINUTE * MINUTE
        if minute <= self._minute or not self._source:
            # also where the clock was set back: never write over what was counted then
            self._source = uuid4().hex
        self._minute = minute
        self._ends = at + MINUTE - seconds % MINUTE
        self._closed.extend(
            bucket for bucket in self._open.values() if bucket.written != bucket.calls
        )
        self._open.clear()
