"""Files in the state folder by which the processes of one machine signal each other.

A worker shows that it lives by a heartbeat file: its content says how busy it is, its date
is the heartbeat. A gateway that publishes a run touches the wake file, so that a supervisor
whose worker is asleep starts it. Neither needs to know whether the other runs.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_EXPIRE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHeartbeat:
    """The state of one worker."""

    pid: int
    ready: bool
    """Whether it takes runs."""
    concurrency: int
    """Runs of each queue that it can execute at a time."""
    busy: Mapping[str, int]
    """Runs that hold a slot, by queue."""


class HeartbeatFile:
    """The heartbeat file of this process. One thread writes it, another one may remove it."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._folder = run / "worker"
        self._file = self._folder / f"{os.getpid()}.json"
        self._written: WorkerHeartbeat | None = None
        self._removed = False
        self._lock = threading.Lock()

    def write(self, heartbeat: WorkerHeartbeat) -> None:
        """Write the state if it has changed, and renew the date; nothing after `remove`."""
        with self._lock, suppress(OSError):  # a folder of another user: nothing reads it then
            if self._removed:
                return
            if heartbeat == self._written and self._file.exists():
                os.utime(self._file)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._file.with_suffix(".draft")
            draft.write_text(json.dumps(asdict(heartbeat)))
            draft.rename(self._file)
            self._written = heartbeat

    def remove(self) -> None:
        """Remove the file when the process ends."""
        with self._lock, suppress(OSError):
            self._removed = True
            self._file.unlink()


def read_heartbeats(run: Path) -> Iterator[tuple[WorkerHeartbeat, float]]:
    """Yield this machine's workers, each with the seconds since its last heartbeat.

    The file of a killed process is kept for five minutes; its heartbeat is old then.
    """
    for file in sorted((run / "worker").glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            age = time.time() - file.stat().st_mtime
            if age > _EXPIRE_SECONDS:
                file.unlink()
                continue
            heartbeat = WorkerHeartbeat(**json.loads(file.read_text()))
            if isinstance(heartbeat.busy, dict):  # else it is a worker of an older version
                yield heartbeat, age


_MIN_INTERVAL_SECONDS = 0.1


class WakeFile:
    """The wake file of a state folder."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._file = run / "wake"
        self._last_touch = 0.0

    def touch(self) -> None:
        """Signal a published run; cheap enough for every run."""
        now = time.monotonic()
        if now - self._last_touch < _MIN_INTERVAL_SECONDS:
            return
        self._last_touch = now
        with suppress(OSError):  # nothing runs on that folder
            self._file.touch()

    def seconds_since_touch(self) -> float:
        """Return the seconds since the last touch; infinity if there was none."""
        touched_at = self.touched_at()
        return (time.time_ns() - touched_at) / 1e9 if touched_at else float("inf")

    def touched_at(self) -> int:
        """Return the date of the last touch in nanoseconds; 0 if there was none."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0


class WorkerCollector(Collector):
    """The heartbeats of this machine's workers as metrics."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """Yield the age of each heartbeat, in seconds, and what it says."""
        ages = GaugeMetricFamily(
            "celery_worker_heartbeat_age_seconds",
            "Seconds since the last heartbeat of the worker with that process id.",
            labels=("worker",),
        )
        ready = GaugeMetricFamily("worker_ready", "1 if the worker takes runs.", labels=("worker",))
        concurrency = GaugeMetricFamily(
            "worker_concurrency",
            "Runs of the queue that the worker can execute at a time.",
            labels=("worker", "queue"),
        )
        busy = GaugeMetricFamily(
            "worker_busy",
            "Runs of the queue that hold a slot of the worker.",
            labels=("worker", "queue"),
        )
        for heartbeat, age in read_heartbeats(self._run):
            labels = (str(heartbeat.pid),)
            ages.add_metric(labels, max(0.0, age))
            ready.add_metric(labels, float(heartbeat.ready))
            for queue, runs in heartbeat.busy.items():
                concurrency.add_metric((*labels, queue), heartbeat.concurrency)
                busy.add_metric((*labels, queue), runs)
        yield from (ages, ready, concurrency, busy)
