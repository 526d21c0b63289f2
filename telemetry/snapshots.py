"""One /metrics endpoint for several processes, which share their metrics through a folder.

A scrape reaches one process of many, which adds up the snapshots of all. The snapshot of a process
that has ended remains, so that no counter decreases; its gauges do not count, nor do series with
the process's own name as a label. The snapshots of ended processes are added up in one file, so
that the folder does not grow with each process that is started.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from telemetry.instruments import (
    MAX_SERIES,
    AnyInstrument,
    AnyMetricFamily,
    Exemplar,
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
_FOLD_SECONDS = 60.0
"""Between two looks for snapshots of processes that have ended."""
_ENDED = "ended"
"""The name of the snapshot of all processes that have ended."""
_EXEMPLARS = "#exemplars"
"""In a snapshot, what is no family. Processes of older releases pass over it."""
_NAME = re.compile(r"[a-z]+-(?P<pid>\d+)")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a process has published."""

    name: str
    families: dict[str, Any]
    """Label values and value of each series, by family. Any: read from JSON."""
    is_current: bool
    """Whether the process publishes still."""

    def series_of(self, family: AnyMetricFamily) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Yield label values and value of each series that counts."""
        if family.make is Gauge and not self.is_current:
            return
        for labels, value in self.families.get(family.name, ()):
            if len(labels) != len(family.labels):  # of a process of another release
                continue
            if self.is_current or self.name not in labels:
                yield tuple(labels), value

    def exemplars_of(
        self, family: AnyMetricFamily
    ) -> Iterator[tuple[tuple[str, ...], dict[int, Exemplar]]]:
        """Yield label values and exemplars, by bucket, of each series that has some."""
        for labels, found in self.families.get(_EXEMPLARS, {}).get(family.name, ()):
            yield tuple(labels), {int(bucket): Exemplar(*it) for bucket, it in found.items()}


class SharedRegistry(Collector):
    """The metrics of this process and of its siblings."""

    def __init__(self, registry: Registry, folder: Path, name: str) -> None:
        """Share `registry` in `folder` under `name`: a word, `-` and the process id."""
        self._registry = registry
        self._folder = folder
        self._name = name
        self._file = self._path(name)
        self._written = b""
        self._folds_at = time.monotonic() + _FOLD_SECONDS
        self._task: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists():  # of the program before this one in the process, or of its id
            self._fold([self._file])

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
        snapshot: dict[str, object] = {}
        exemplars: dict[str, list[object]] = {}
        for family in self._registry.families.values():
            children = self._registry.children_of(family)
            snapshot[family.name] = [(labels, _value_of(child)) for labels, child in children]
            for labels, child in children:
                if isinstance(child, Histogram) and child.exemplars:
                    shown = list(child.exemplars.items())
                    found = {str(bucket): tuple(exemplar) for bucket, exemplar in shown}
                    exemplars.setdefault(family.name, []).append((labels, found))
        if exemplars:
            snapshot[_EXEMPLARS] = exemplars
        self._write(self._file, orjson.dumps(snapshot))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family, summed over the processes."""
        others = self._siblings()
        for family in self._registry.families.values():
            total = cast(
                "AnyMetricFamily",
                MetricFamily(family.make, family.name, family.documentation, family.labels),
            )
            for labels, child in self._registry.children_of(family):
                _add(total, labels, _value_of(child))
                if isinstance(child, Histogram):
                    _show(total, labels, dict(child.exemplars))
            for snapshot in others:
                for labels, value in snapshot.series_of(family):
                    if not self._registry.is_removed(family, labels):
                        _add(total, labels, value)
                for labels, exemplars in snapshot.exemplars_of(family):
                    _show(total, labels, exemplars)
            yield to_prometheus(total)

    def values_of(self, label: str) -> set[str]:
        """Return the label's values in all processes; reads the siblings' files."""
        found: set[str] = set()
        siblings = self._siblings()
        for family in self._registry.families.values():
            if label in family.labels:
                position = family.labels.index(label)
                found.update(values[position] for values in list(family.children))
                for snapshot in siblings:
                    found.update(labels[position] for labels, _ in snapshot.series_of(family))
        return found

    def fold(self) -> None:
        """Add the snapshots of processes that have ended to that of all of these."""
        ended = [path for path in self._paths() if path != self._file and _has_ended(path)]
        if ended:
            self._fold(ended)

    def _fold(self, ended: Sequence[Path]) -> None:
        with self._lock(fcntl.LOCK_EX):
            found = [self._path(_ENDED), *ended]
            merged = self._merge(_read(path) for path in found if path.exists())
            self._write(self._path(_ENDED), orjson.dumps(merged))
            for path in ended:
                path.unlink(missing_ok=True)

    def _merge(self, snapshots: Iterable[_Snapshot]) -> dict[str, list[object]]:
        """Return the sum of the series that do not end with their process, also of unknown ones."""
        sums: dict[str, dict[tuple[str, ...], Any]] = {}  # Any: as of _Snapshot
        for snapshot in snapshots:
            for name, series in snapshot.families.items():
                if name == _EXEMPLARS:
                    continue
                known = self._registry.families.get(name)
                if known is not None and known.make is Gauge:
                    continue
                into = sums.setdefault(name, {})
                for listed, value in series:
                    labels = tuple(listed)
                    if snapshot.name in labels or (
                        known is not None
                        and len(known.labels) == len(labels)
                        and self._registry.is_removed(known, labels)
                    ):
                        continue
                    if labels in into:
                        into[labels] = _sum(into[labels], value)
                    elif len(into) < MAX_SERIES:
                        into[labels] = value
                    elif known is not None:
                        known.count_dropped()
        return {name: list(series.items()) for name, series in sums.items()}

    def _siblings(self) -> list[_Snapshot]:
        if not self._folder.exists():  # it was removed: there is nothing but this process
            return []
        with self._lock(fcntl.LOCK_SH):
            return [_read(path) for path in sorted(self._paths()) if path != self._file]

    def _paths(self) -> list[Path]:
        return list(self._folder.glob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _write(self, path: Path, data: bytes) -> None:
        """Write a snapshot; renew only its date if this process has written the same before."""
        if path == self._file and data == self._written:
            with suppress(FileNotFoundError):
                os.utime(path)
                return
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(data)
        temporary.rename(path)
        if path == self._file:
            self._written = data

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Keep a scrape from reading while snapshots are moved, and both from doing it twice."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, kind)
            yield
        finally:
            os.close(folder)

    def _publish_and_fold(self) -> None:
        self.publish()
        if time.monotonic() >= self._folds_at:
            self._folds_at = time.monotonic() + _FOLD_SECONDS
            self.fold()

    async def _publish_periodically(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            with suppress(OSError):  # such as a full disk, which may have room again
                await asyncio.to_thread(self._publish_and_fold)


def _read(path: Path) -> _Snapshot:
    is_current = path.stem != _ENDED and _age(path) < _CURRENT_SECONDS
    return _Snapshot(path.stem, orjson.loads(path.read_bytes()), is_current)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _has_ended(path: Path) -> bool:
    """Whether the process has stopped publishing and there is none with its id here.

    Processes of another PID namespace that use the same folder have ids that say nothing here.
    """
    found = _NAME.fullmatch(path.stem)
    if found is None or _age(path) < _CURRENT_SECONDS:
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _value_of(child: AnyInstrument) -> object:
    return [child.counts, child.total] if isinstance(child, Histogram) else child.value


# Any, here and below: read from JSON that `publish` wrote
def _sum(one: Any, other: Any) -> Any:
    """Return the sum of two values of a series; `one`, if a histogram has other buckets since."""
    if not isinstance(one, list):
        return one + other
    (counts, total), (more, further) = one, other
    if len(counts) != len(more):
        return one
    return [[mine + theirs for mine, theirs in zip(counts, more, strict=True)], total + further]


def _add(family: AnyMetricFamily, labels: tuple[str, ...], value: Any) -> None:
    """Add a child's values."""
    child = family.child(*labels)
    if isinstance(child, Histogram):
        child.counts, child.total = _sum([child.counts, child.total], value)
    else:
        child.value += value


def _show(family: AnyMetricFamily, labels: tuple[str, ...], exemplars: dict[int, Exemplar]) -> None:
    """Show exemplars at a child that exists, the latest of each bucket."""
    child = family.children.get(labels)
    if isinstance(child, Histogram):
        for bucket, found in exemplars.items():
            if bucket not in child.exemplars or child.exemplars[bucket].at < found.at:
                child.exemplars[bucket] = found
