"""Counts and reports the fast calls that leave no run behind although they should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from time import monotonic

from gateway.metrics import GatewayMetrics
from telemetry.logs import logger

REPORT_SECONDS = 60.0
"""Between two reports in the log, and how long a loss counts as degraded."""

log = logger("gateway.fast_path")


class Unrecorded(StrEnum):
    """Why a call left no run. None of these calls was told a run's id."""

    SAMPLE_RATE = "sample_rate"
    """A successful call of the sample, beyond its rate."""
    FAILURE_RATE = "failure_rate"
    """A failed call, beyond the rate of failures."""
    DATABASE = "database"
    """The database was away, and too many runs waited for it, or the process has ended."""


_REPORTED = (Unrecorded.FAILURE_RATE, Unrecorded.DATABASE)
"""The sample's rate is as documented."""


class UnrecordedRuns:
    """The calls without a run, in the metrics, the log and `degraded`. For one event loop."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._children = {reason: metrics.runs_unrecorded.child(reason) for reason in Unrecorded}
        self._unreported: Counter[Unrecorded] = Counter()
        self._last: dict[Unrecorded, float] = {}

    def count(self, reason: Unrecorded, calls: int = 1) -> None:
        """Count calls without a run."""
        self._children[reason].add(calls)
        if reason in _REPORTED:
            self._unreported[reason] += calls
            self._last[reason] = monotonic()

    def report(self) -> None:
        """Log what was counted since the last report."""
        if self._unreported:
            counts = {reason.value: calls for reason, calls in self._unreported.items()}
            log.warning("runs_not_recorded", **counts)
            self._unreported.clear()

    def degraded(self) -> Sequence[str]:
        """Return the reasons of the last minute, for people."""
        recent = monotonic() - REPORT_SECONDS
        return [
            f"runs: some fast calls of the last minute left none: {reason}"
            for reason, last in self._last.items()
            if last > recent
        ]
