"""One /metrics endpoint for several processes, which share their metrics through a folder.

A scrape reaches one process of many, which adds up the snapshots of all. The snapshot of a process
that has died remains, so that no counter decreases while the service runs; its gauges do not count
any more. The supervisor empties the folder at start.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from telemetry.instruments import (
    AnyMetricFamily,
    Gauge,
    Histogram,
    MetricFamily,
    Registry,
    to_prometheus,
)

_SUFFIX = ".json"
_PUBLISH_SECONDS = 1.0
_CURRENT_SECONDS = 10.0
"""Age of the snapshot of a process that no longer runs, or not well."""


class SharedRegistry(Collector):
    """The metrics of this process and of its siblings."""

    def __init__(self, registry: Registry, folder: Path, name: str) -> None:
        """Share `registry` in `folder` under `name`, which must be unique."""
        self._registry = registry
        self._folder = folder
        self._file = folder / f"{name}{_SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Publish every second, on a thread."""
        self._task = asyncio.create_task(self._publish_periodically(), name="metrics publisher")

    async def close(self) -> None:
        """Publish a last time and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(OSError):
            self.publish()

    def publish(self) -> None:
        """Write this process's snapshot; the values of all processes are added up."""
        snapshot = {
            family.name: [
                [
                    labels,
                    [child.counts, child.total] if isinstance(child, Histogram) else child.value,
                ]
                for labels, child in self._registry.children_of(family)
            ]
            for family in self._registry.families.values()
        }
        temporary = self._file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(orjson.dumps(snapshot))
        temporary.rename(self._file)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family, summed over the processes."""
        others = self._siblings()
        for family in self._registry.families.values():
            total = cast(
                "AnyMetricFamily",
                MetricFamily(family.make, family.name, family.documentation, family.labels),
            )
            for labels, child in self._registry.children_of(family):
                value = [child.counts, child.total] if isinstance(child, Histogram) else child.value
                _add(total, labels, value)
            for snapshot, is_current in others:
                if family.make is Gauge and not is_current:
                    continue
                for labels, value in snapshot.get(family.name, ()):
                    if len(labels) != len(family.labels):  # of a process of another release
                        continue
                    if not self._registry.is_removed(family.labels, labels):
                        _add(total, tuple(labels), value)
            yield to_prometheus(total)

    def values_of(self, label: str) -> set[str]:
        """Return the label's values in all processes; reads the siblings' files."""
        found: set[str] = set()
        siblings = self._siblings()
        for family in self._registry.families.values():
            if label in family.labels:
                position = family.labels.index(label)
                found.update(values[position] for values in list(family.children))
                for snapshot, _ in siblings:
                    found.update(values[position] for values, _ in snapshot.get(family.name, ()))
        return found

    # Any: read from JSON that `publish` wrote
    def _siblings(self) -> list[tuple[dict[str, Any], bool]]:
        """Return the snapshots of the other processes, and whether each still publishes."""
        latest = time.time() - _CURRENT_SECONDS
        return [
            (orjson.loads(path.read_bytes()), path.stat().st_mtime > latest)
            for path in sorted(self._folder.glob(f"*{_SUFFIX}"))
            if path != self._file
        ]

    async def _publish_periodically(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            with suppress(OSError):  # such as a full disk, which may have room again
                await asyncio.to_thread(self.publish)


def _add(family: AnyMetricFamily, labels: tuple[str, ...], value: Any) -> None:
    """Add a child's values. Any: read from JSON that `publish` wrote."""
    child = family.child(*labels)
    if isinstance(child, Histogram):
        counts, total = value
        child.counts = [mine + theirs for mine, theirs in zip(child.counts, counts, strict=True)]
        child.total += total
    else:
        child.value += value
