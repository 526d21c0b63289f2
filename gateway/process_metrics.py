"""What a gateway process measures of itself, its database connections, its broker and its runs."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telemetry.instruments import Registry

if TYPE_CHECKING:
    from gateway.broker.publisher import Publisher
    from gateway.execution.pool import RunPool
    from gateway.storage.database import Database

_SECONDS = 1.0
"""Between two samples."""
_PROCESS_COUNTER = "process_cpu_seconds"
_PROCESS_GAUGES = {
    "process_resident_memory_bytes": "Resident memory of the gateway process in bytes.",
    "process_open_fds": "Open file descriptors of the gateway process.",
    "process_max_fds": "The most file descriptors that the gateway process may open.",
    "process_start_time_seconds": "When the gateway process started, in seconds since 1970.",
}


class ProcessMetrics:
    """Sampled every second. `process` tells series apart: gauges of processes are summed."""

    def __init__(
        self,
        registry: Registry,
        name: str,
        db: Database,
        publisher: Publisher,
        runs: RunPool,
        *,
        database_answers: Callable[[], bool],
    ) -> None:
        """Register the instruments, with `name` as their process."""
        self._db = db
        self._database_answers = database_answers
        self._runs = runs
        self._publisher = publisher
        self._source = ProcessCollector(registry=None)
        label = ("process",)
        self._cpu = registry.counter(
            "process_cpu_seconds_total", "CPU time of the gateway process in seconds.", label
        ).child(name)
        self._gauges = {
            metric: registry.gauge(metric, text, label).child(name)
            for metric, text in _PROCESS_GAUGES.items()
        }
        self._lag = registry.histogram(
            "event_loop_lag_seconds",
            "How much later than due a timer of the gateway's event loop ran, once a second.",
            label,
        ).child(name)
        connections = registry.gauge(
            "database_connections",
            "Connections of the gateway's pool to the database: used or idle.",
            ("state",),
        )
        self._used, self._idle = connections.child("used"), connections.child("idle")
        self._database_up = registry.gauge(
            "database_up", "1 if the database answers the gateway process.", label
        ).child(name)
        self._broker = registry.gauge(
            "broker_connected", "1 if the gateway process is connected to the broker.", label
        ).child(name)
        self._broker_errors = registry.counter(
            "broker_errors_total",
            "Messages that were refused, and failed attempts to publish those that waited.",
        ).child()
        self._runs_busy = registry.gauge(
            "server_runs_busy", "Runs of type server that hold a place of a gateway.", ("mode",)
        )
        self._runs_limit = registry.gauge(
            "server_runs_limit",
            "Runs of type server that gateways can execute at a time.",
            ("mode",),
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._task = asyncio.create_task(self._sample_periodically(), name="process metrics")

    async def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def sample(self) -> None:
        """Read all values but the lag; takes a fraction of a millisecond."""
        for family in self._source.collect():
            value = family.samples[0].value
            if family.name == _PROCESS_COUNTER:
                self._cpu.value = value
            elif family.name in self._gauges:
                self._gauges[family.name].set(value)
        used, idle = self._db.pool_connections()
        self._used.set(used)
        self._idle.set(idle)
        self._database_up.set(float(self._database_answers()))
        for mode, (busy, limit) in self._runs.use().items():
            self._runs_busy.child(mode).set(busy)
            self._runs_limit.child(mode).set(limit)
        broker = self._publisher.state()
        self._broker.set(float(broker.connected))
        self._broker_errors.value = broker.failed + broker.refused

    async def _sample_periodically(self) -> None:
        while True:
            self.sample()
            due = perf_counter() + _SECONDS
            await asyncio.sleep(_SECONDS)
            self._lag.observe(max(0.0, perf_counter() - due))


class BuildInfo(Collector):
    """Versions, as labels of a constant. Not in the registry, whose gauges are summed."""

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        info = GaugeMetricFamily(
            "slipstream_build_info",
            "1, with the versions of Slipstream, Python and ONNX Runtime as labels.",
            labels=("version", "python", "onnxruntime"),
        )
        labels = (_version("slipstream"), platform.python_version(), _version("onnxruntime"))
        info.add_metric(labels, 1.0)
        yield info


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a gateway alone does not need it
        return ""
