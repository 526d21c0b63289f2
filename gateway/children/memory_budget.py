"""One budget of memory for the child processes of all gateways and workers of a host.

Each child has a limit of its own, and some dozens of them may be busy: together they could use up
the machine, and the kernel would end any process. So each process that has children measures them
while they work, leaves the sum in a file of its own, and reads those of the others. When all
together use more than the budget, the owner of the largest child ends it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Protocol
from uuid import uuid4

from telemetry.logs import logger

_BUSY_SECONDS = 0.05
"""Between two looks while a child works: it may get some 100 MiB meanwhile."""
_IDLE_SECONDS = 1.0
_USE = Struct("<QQ")
"""The bytes of all children of a process, and of the largest."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NEW = "."
"""Files begin with it until they are locked."""

log = logger("gateway.children")


class MeasuredChild(Protocol):
    """A child process."""

    pid: int

    @property
    def shared_with(self) -> int:
        """The pid of the process that has forked it; 0: it is not known."""

    def end_for_memory(self) -> None:
        """Kill it; its request fails with MEMORY."""


class MeasuredPool(Protocol):
    """A pool of them."""

    def measured(self) -> Sequence[MeasuredChild]:
        """Return the children that have not ended."""

    @property
    def is_busy(self) -> bool:
        """Whether one works on a request."""


class MemoryBudget:
    """The budget, as one process sees it. For one event loop."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Share `budget_bytes` with all processes that have a budget in `folder`."""
        self.budget_bytes = budget_bytes
        self._folder = folder
        self._pools: list[MeasuredPool] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_quick = False
        self._file: int | None = None
        self._name = f"{os.getpid()}-{uuid4().hex}"

    def add(self, pool: MeasuredPool) -> None:
        """Count the children of a pool, which calls `watch`."""
        self._pools.append(pool)

    def watch(self) -> None:
        """Look soon: a child begins to work."""
        if not self._is_quick:
            self._is_quick = True
            self._look_in(_BUSY_SECONDS)

    def close(self) -> None:
        """Stop; the children have ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._file is not None:
            with suppress(OSError):
                (self._folder / self._name).unlink()
            os.close(self._file)
            self._file = None

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        children = [child for pool in self._pools for child in pool.measured()]
        sizes = [(_own_bytes(child), child) for child in children]
        total = sum(size for size, _ in sizes)
        largest, child = max(sizes, key=lambda each: each[0], default=(0, None))
        others, others_largest = self._exchange(total, largest)
        if child is not None and total + others > self.budget_bytes and largest >= others_largest:
            log.warning(
                "child_memory_exceeded",
                pid=child.pid,
                bytes=largest,
                all_bytes=total + others,
                budget_bytes=self.budget_bytes,
            )
            child.end_for_memory()
        self._is_quick = any(pool.is_busy for pool in self._pools)
        if self._is_quick or children:
            self._look_in(_BUSY_SECONDS if self._is_quick else _IDLE_SECONDS)

    def _exchange(self, total: int, largest: int) -> tuple[int, int]:
        """Write what this process uses; return what the others use, and the largest of theirs."""
        others = others_largest = 0
        with suppress(OSError):  # a full disk, for example: then it counts for itself
            if self._file is None:
                self._file = self._create()
            os.pwrite(self._file, _USE.pack(total, largest), 0)
            for entry in os.scandir(self._folder):
                if entry.name != self._name and not entry.name.startswith(_NEW):
                    used, used_by_one = _read(entry.path)
                    others += used
                    others_largest = max(others_largest, used_by_one)
        return others, others_largest

    def _create(self) -> int:
        """Make the file, locked for as long as this process lives."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._folder / f"{_NEW}{self._name}"
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(self._folder / self._name)
        return descriptor


def _read(path: str) -> tuple[int, int]:
    """Return what another process has written; remove the file of one that has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0, 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        used = os.pread(descriptor, _USE.size, 0)
        total, largest = _USE.unpack(used) if len(used) == _USE.size else (0, 0)
        return int(total), int(largest)
    else:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a path of scandir
        return 0, 0
    finally:
        os.close(descriptor)


def _own_bytes(child: MeasuredChild) -> int:
    """Return the anonymous memory that a child does not share with what has forked it."""
    return max(0, _anonymous_bytes(child.pid) - _anonymous_bytes(child.shared_with))


def _anonymous_bytes(pid: int) -> int:
    """Return the resident memory of a process without that of files; 0: it has ended."""
    if not pid:
        return 0
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES
