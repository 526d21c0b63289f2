"""Gives memory that large bodies have left behind back to the system, when no more of them come."""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from contextlib import suppress
from pathlib import Path

from telemetry.allocator import memory_in_use, return_freed_memory

_LOOK_SECONDS = 10.0
_STEADY_LOOKS = 3
_STEADY_BYTES = 4 * 2**20
"""At so many looks, memory in use differs by less when no large bodies come, or few that are gone
soon. While many come, memory that was given back would have to be got again, and in small pages
where blocks in use lie between: under `make abuse`, p99 was twice as high."""
_WORTH_BYTES = 32 * 2**20
"""Less is not worth it."""


async def return_memory_when_steady(look_seconds: float = _LOOK_SECONDS) -> None:
    """Do so until cancelled; return at once where the C library does not say what is in use."""
    if memory_in_use() is None:
        return
    memory = _Memory()
    while True:
        await asyncio.sleep(look_seconds)  # first: all modules are to be imported
        with suppress(OSError, RuntimeError):  # for the moment there is no descriptor, or no thread
            await asyncio.to_thread(memory.look)  # it takes milliseconds


class _Memory:
    def __init__(self) -> None:
        self._in_use: deque[int] = deque(maxlen=_STEADY_LOOKS)
        self._least_spare: int | None = None

    def look(self) -> None:
        """Return memory if use is steady and there is much more to spare than at best."""
        in_use = memory_in_use() or 0
        self._in_use.append(in_use)
        spare = resident_bytes() - in_use  # code and Python's small objects, and what was freed
        if self._least_spare is None or spare < self._least_spare:
            self._least_spare = spare
        elif self._is_steady() and spare - self._least_spare > _WORTH_BYTES:
            return_freed_memory()
            self._least_spare = resident_bytes() - in_use

    def _is_steady(self) -> bool:
        looks = self._in_use
        return len(looks) == _STEADY_LOOKS and max(looks) - min(looks) < _STEADY_BYTES


def resident_bytes() -> int:
    """Return how much memory this process has (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
