"""Counts the hosts, gateways and workers for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.fleet.hosts import HostStore
from gateway.fleet.processes import ProcessStore
from gateway.storage.failures import log_failure
from telemetry.logs import logger

_SECONDS = 5.0

log = logger("gateway.fleet")


class HostWatch(Collector):
    """Asks the database every few seconds: the end of a lease is no change that it announces."""

    def __init__(self, hosts: HostStore, processes: ProcessStore) -> None:
        self._hosts = hosts
        self._processes = processes
        self._host_counts: Mapping[str, int] = {}
        self._host_versions: Mapping[str, str] = {}
        self._process_counts: Mapping[tuple[str, str], int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count."""
        self._task = asyncio.create_task(self._count(), name="host watch")

    async def stop(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def collect(self) -> Iterator[Metric]:
        """Yield how many there are by state, as it was last seen."""
        hosts = GaugeMetricFamily(
            "hosts",
            "Hosts by state: alive, or gone, for up to a week after their lease has ended.",
            labels=("state",),
        )
        for state, count in self._host_counts.items():
            hosts.add_metric((state,), count)
        yield hosts
        info = GaugeMetricFamily(
            "host_info",
            "1 for each host that is alive, with the version of its supervisor.",
            labels=("host", "version"),
        )
        for labels in self._host_versions.items():
            info.add_metric(labels, 1.0)
        yield info
        processes = GaugeMetricFamily(
            "service_processes",
            "Gateways and workers by state; gone: their lease has ended.",
            labels=("kind", "state"),
        )
        for labels, count in self._process_counts.items():
            processes.add_metric(labels, count)
        yield processes

    async def _count(self) -> None:
        failing = False
        while True:
            try:
                self._host_counts = await self._hosts.counts()
                self._host_versions = await self._hosts.versions()
                self._process_counts = await self._processes.counts()
                failing = False
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                self._host_counts, self._host_versions = {}, {}  # not known
                self._process_counts = {}
                if not failing:
                    log_failure(log, "hosts_not_counted", error)
                failing = True
            await asyncio.sleep(_SECONDS)
