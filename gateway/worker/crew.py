"""One lane's process as the foreman sees it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from gateway.worker.plan import QueueWorkerPlan

_FIRST_DELAY = 0.1
_LAST_DELAY = 10.0
_STEADY_SECONDS = 30.0
"""Who ran this long has recovered: its next end counts as the first."""
_LEFT_SECONDS = 10.0
"""After which one that was replaced, and has nothing to do any more, is killed."""


class WorkerProcess:
    """A process, or the memory of one that has ended.

    Attributes:
        lane: what it does.
        pid: 0 while there is no process.
        ready: whether it takes messages.
        busy: how many runs it has.
        status_fd: the pipe on which it reports; None while there is none.
        start_at: when the next process may be started, on the monotonic clock.
    """

    def __init__(self, plan: QueueWorkerPlan) -> None:
        self.plan = plan
        self.pid = 0
        self.ready = False
        self.busy = 0
        self.start_at = 0.0
        self.status_fd: int | None = None
        self._unfinished = b""
        self._total = 0
        self._moved = False
        self._began_at = 0.0
        self._ends = 0
        self._retired_at: float | None = None

    def begin(self, pid: int, status_fd: int) -> None:
        """Take note of a process, and of the pipe on which it reports."""
        self.pid, self.status_fd = pid, status_fd
        self._unfinished, self._total = b"", 0
        self._began_at = time.monotonic()

    def end(self) -> None:
        """Take note of its end: the next may start after a while, longer each time."""
        now = time.monotonic()
        self._ends = 1 if now - self._began_at >= _STEADY_SECONDS else self._ends + 1
        self.start_at = now + min(_LAST_DELAY, _FIRST_DELAY * 2.0 ** min(self._ends - 1, 30))
        self.pid, self.ready, self.busy = 0, False, 0

    def read(self) -> Iterator[str]:
        """Take in what it has reported so far, and yield the events."""
        assert self.status_fd is not None
        with suppress(BlockingIOError):
            while data := os.read(self.status_fd, 65536):
                self._unfinished += data
        *lines, self._unfinished = self._unfinished.split(b"\n")
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # killed in the middle of a line
                yield self._take(json.loads(line))

    def made_progress(self) -> bool:
        """Return whether it has begun a run since this was asked last."""
        made_progress, self._moved = self._moved, False
        return made_progress

    def retire(self) -> None:
        """Have it finish what it has and go; another takes its place."""
        self._retired_at = time.monotonic()
        self.ready = False
        self.signal(signal.SIGTERM)

    def may_be_killed(self) -> bool:
        """Whether it was told to go, has nothing to do, and still is there."""
        if self._retired_at is None or self.busy:
            return False
        return time.monotonic() - self._retired_at > _LEFT_SECONDS

    def signal(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid:
            os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if self.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def close(self) -> None:
        """Close the pipe."""
        if self.status_fd is not None:
            os.close(self.status_fd)
            self.status_fd = None

    def _take(self, line: dict[str, object]) -> str:
        event = str(line["event"])
        match event:
            case "ready":
                self.ready = self._retired_at is None
            case "heartbeat":
                self.busy, total = int(str(line["busy"])), int(str(line["total"]))
                self._moved |= total != self._total
                self._total = total
        return event
