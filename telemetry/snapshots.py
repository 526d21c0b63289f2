"""One /metrics for several processes: each leaves its numbers in a folder, and any of them sums up.

A scrape reaches one process of many. The numbers of a process that has died stay in the folder, so
that no counter ever falls while the service runs; whoever starts the service empties it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from telemetry.instruments import AnyMetricFamily, Histogram, MetricFamily, Registry, to_prometheus

_SUFFIX = ".json"
_PUBLISH_SECONDS = 1.0


class SharedRegistry(Collector):
    """A registry, and those of the process's siblings."""

    def __init__(self, registry: Registry, folder: Path, name: str) -> None:
        """Share `registry` in `folder` under `name`, which no sibling may have."""
        self._registry = registry
        self._folder = folder
        self._file = folder / f"{name}{_SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish every second, on a thread."""
        self._task = asyncio.create_task(self._keep_published(), name="metrics publisher")

    async def close(self) -> None:
        """Publish a last time, and no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.publish()

    def publish(self) -> None:
        """Leave this process's numbers for the others. Counters and histograms only."""
        snapshot = {
            family.name: [
                [
                    labels,
                    [child.counts, child.total] if isinstance(child, Histogram) else child.value,
                ]
                for labels, child in family.children.items()
            ]
            for family in self._registry.families.values()
        }
        draft = self._file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(orjson.dumps(snapshot))
        draft.rename(self._file)

    def collect(self) -> Iterator[Metric]:
        """Yield every family, summed over the processes."""
        others = [
            orjson.loads(path.read_bytes())
            for path in sorted(self._folder.glob(f"*{_SUFFIX}"))
            if path != self._file
        ]
        for family in self._registry.families.values():
            total = cast(
                "AnyMetricFamily",
                MetricFamily(family.make, family.name, family.text, family.labels),
            )
            for labels, child in family.children.items():
                value = [child.counts, child.total] if isinstance(child, Histogram) else child.value
                _add(total, labels, value)
            for snapshot in others:
                for labels, value in snapshot.get(family.name, ()):
                    _add(total, tuple(labels), value)
            yield to_prometheus(total)

    async def _keep_published(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            await asyncio.to_thread(self.publish)


def _add(family: AnyMetricFamily, labels: tuple[str, ...], value: Any) -> None:
    """Add a child's numbers. Any: what `publish` wrote, through JSON."""
    child = family.child(*labels)
    if isinstance(child, Histogram):
        counts, total = value
        child.counts = [mine + theirs for mine, theirs in zip(child.counts, counts, strict=True)]
        child.total += total
    else:
        child.value += value
