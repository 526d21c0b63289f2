"""Heartbeats of a queue worker's children, and the end of those that fall silent.

A child shows from its event loop that it runs, by the time in a slot of memory that it shares with
the queue worker. Celery replaces a child that was killed, and the sweep takes care of its run.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator

import psutil

from telemetry.logs import logger

_SLOT = struct.Struct("=qd")
"""Process id, 0 where no child has the slot; time of its heartbeat on the monotonic clock."""
_NO_CHILD = (0, 0.0)

log = logger("gateway.worker.child_heartbeats")


class ChildHeartbeats:
    """One slot for each child. Created before they are forked."""

    def __init__(self, children: int, *, unresponsive_seconds: float) -> None:
        """Make room for `children`; `kill_silent` kills those silent for so many seconds."""
        self._children = children
        self._unresponsive_seconds = unresponsive_seconds
        self._memory = mmap.mmap(-1, children * _SLOT.size)

    def write(self, child: int) -> None:
        """Write a heartbeat of this process, which is the child with that index."""
        _SLOT.pack_into(self._memory, child * _SLOT.size, os.getpid(), time.monotonic())

    def skip(self, seconds: float) -> None:
        """Count `seconds` for none: the whole machine, or this process, was suspended."""
        for child, pid, written_at in self._written():
            _SLOT.pack_into(self._memory, child * _SLOT.size, pid, written_at + seconds)

    def kill_silent(self) -> None:
        """Kill each child of this process whose last heartbeat is too old."""
        now = time.monotonic()
        for child, pid, written_at in self._written():
            seconds = now - written_at
            if seconds < self._unresponsive_seconds:
                continue
            _SLOT.pack_into(self._memory, child * _SLOT.size, *_NO_CHILD)
            if _is_our_child(pid):
                log.error("run_process_unresponsive", pid=pid, seconds=round(seconds, 1))
                os.kill(pid, signal.SIGKILL)

    def _written(self) -> Iterator[tuple[int, int, float]]:
        for child in range(self._children):
            pid, written_at = _SLOT.unpack_from(self._memory, child * _SLOT.size)
            if pid:
                yield child, pid, written_at


def _is_our_child(pid: int) -> bool:
    """Whether `pid` still is the child; one that has ended may have left its slot behind."""
    try:
        return psutil.Process(pid).ppid() == os.getpid()
    except psutil.Error:
        return False
