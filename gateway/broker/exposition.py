"""The machine's workers as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.broker.heartbeat_file import read_heartbeats


class WorkerCollector(Collector):
    """What workers show of themselves in the state folder; those of other machines do theirs."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """Yield how old each worker's last heartbeat is: seconds after it was killed, too."""
        ages = GaugeMetricFamily(
            "celery_worker_heartbeat_age_seconds",
            "Seconds since the worker of this machine with that process id said that it lives.",
            labels=("worker",),
        )
        for heartbeat, age in read_heartbeats(self._run):
            ages.add_metric((str(heartbeat.pid),), max(0.0, age))
        yield ages
