"""What a worker of this machine shows of itself: a file, whose date is its heartbeat."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_EXPIRE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHeartbeat:
    """One worker, and how it does."""

    pid: int
    ready: bool
    """It takes runs."""
    concurrency: int
    """Runs that it can do at a time."""
    busy: int
    """Runs that it has."""


class HeartbeatFile:
    """The worker's end."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._folder = run / "worker"
        self._file = self._folder / f"{os.getpid()}.json"
        self._written: WorkerHeartbeat | None = None

    def write(self, heartbeat: WorkerHeartbeat) -> None:
        """Say how it does, and that it lives."""
        with suppress(OSError):  # the folder is somebody else's: then nobody looks, either
            if heartbeat == self._written and self._file.exists():
                os.utime(self._file)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._file.with_suffix(".draft")
            draft.write_text(json.dumps(asdict(heartbeat)))
            draft.rename(self._file)
            self._written = heartbeat

    def remove(self) -> None:
        """Say that it has ended."""
        with suppress(OSError):
            self._file.unlink()


def read_heartbeats(run: Path) -> Iterator[tuple[WorkerHeartbeat, float]]:
    """Yield the machine's workers, each with the seconds since its last heartbeat.

    What was killed stays for a while; its heartbeat is old then.
    """
    for file in sorted((run / "worker").glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            age = time.time() - file.stat().st_mtime
            if age > _EXPIRE_SECONDS:
                file.unlink()
            else:
                yield WorkerHeartbeat(**json.loads(file.read_text())), age
