"""What runs took, by their size: what histograms cannot tell, and statistics ask for."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter, time

from inference_server.data_plane.batching import BaseCall, Outcome

_MOST_SIZES = 1024
"""Callers choose sizes: these many are told apart, further ones are counted together."""


class BatchSizeTotals:
    """All the runs of one size."""

    __slots__ = ("call_seconds", "calls", "rows", "runs", "seconds")

    def __init__(self) -> None:
        self.runs = 0
        self.calls = 0
        self.rows = 0
        self.seconds = 0.0
        """Of each run once."""
        self.call_seconds = 0.0
        """Of each run as often as it had calls: to each of them it is the time of its run."""


class RunStatistics:
    """All the runs of one model version. For one event loop."""

    def __init__(self) -> None:
        self.by_rows: dict[int, BatchSizeTotals] = {}
        self._others = BatchSizeTotals()
        self._last_end: float | None = None

    def add(self, jobs: Sequence[BaseCall], outcomes: Sequence[Outcome]) -> None:
        """Count the runs that `jobs` came to: one that they shared, or one for each."""
        calls = len(jobs)
        first = outcomes[0]
        if calls > 1 and not (isinstance(first, tuple) and first[0].shared):
            for job, outcome in zip(jobs, outcomes, strict=True):
                self.add((job,), (outcome,))
        elif isinstance(first, tuple):
            run = first[0]
            seconds = run.infer_seconds
            self._last_end = run.began + seconds
            rows = jobs[0].rows if calls == 1 else sum([job.rows for job in jobs])
            totals = self.by_rows.get(rows) or self._new_size(rows)
            totals.runs += 1
            totals.calls += calls
            totals.rows += rows
            totals.seconds += seconds
            totals.call_seconds += seconds * calls

    def all(self) -> list[BatchSizeTotals]:
        """Return everything that was counted, in parts to be added up."""
        return [*self.by_rows.values(), self._others]

    def last_milliseconds(self) -> int:
        """Return when the newest run ended, in milliseconds since 1970; 0 if there was none."""
        if self._last_end is None:
            return 0
        return int((time() - (perf_counter() - self._last_end)) * 1e3)

    def _new_size(self, rows: int) -> BatchSizeTotals:
        if len(self.by_rows) >= _MOST_SIZES:
            return self._others
        self.by_rows[rows] = BatchSizeTotals()
        return self.by_rows[rows]
