"""Runs as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.runs.run import RunStatus
from telemetry.instruments import Registry


class RunMetrics(Collector):
    """How many runs wait and go on, as the sweep has last counted; and how many were reaped.

    The counts are the database's, not this process's: a gateway shows them as they are, and does
    not add them up over processes. The runs reaped are each process's own, in its `registry`.
    """

    def __init__(self, registry: Registry) -> None:
        self._reaped = registry.counter(
            "run_lease_reaped_total",
            "Runs whose process was not heard of any more: queued again, or failed.",
            ("outcome",),
        )
        self._counts: Mapping[RunStatus, int] = {}

    def counted(self, counts: Mapping[RunStatus, int]) -> None:
        """Take what `RunStore.counts` has found."""
        self._counts = counts

    def reaped(self, *, requeued: int, lost: int) -> None:
        """Count what a `RunStore.reap` has done."""
        self._reaped.child("requeued").add(requeued)
        self._reaped.child("lost").add(lost)

    def collect(self) -> Iterator[Metric]:
        """Yield the number of runs in each state that is not final."""
        states = GaugeMetricFamily(
            "runs_in_state", "Runs that have not ended, by state.", labels=("state",)
        )
        for status, count in self._counts.items():
            states.add_metric((status,), count)
        yield states
