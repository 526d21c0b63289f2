"""Gives memory that large bodies have left behind back to the system, when little is read."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from pathlib import Path

from telemetry.allocator import return_freed_memory

_LOOK_SECONDS = 10.0
_QUIET_BYTES = 32 * 2**20
"""A process that has read fewer since the last look, also from its database, has few large bodies
now. With many, memory that it gave back would have to be got again, page by page."""
_WORTH_BYTES = 64 * 2**20
"""Of growth: less is not worth it."""
_MOST_LOOKS = 60
"""Between two attempts, if there was little to return."""
_UNKNOWN_BYTES = 2**63


async def return_memory_when_quiet(look_seconds: float = _LOOK_SECONDS) -> None:
    """Do so until cancelled: where the C library can, and Linux says what a process has read."""
    read: int | None = None
    kept, waits, looks_to_wait = _UNKNOWN_BYTES, 1, 0
    while True:
        with suppress(OSError, RuntimeError):  # for the moment there is no descriptor, or no thread
            before, read = read, _bytes_read()
            resident = _resident_bytes()
            kept = min(kept, resident)
            looks_to_wait -= 1
            is_quiet = before is not None and read - before <= _QUIET_BYTES
            if is_quiet and resident - kept > _WORTH_BYTES and looks_to_wait <= 0:
                # In a thread, although threads that allocate may wait meanwhile: for about 1 ms.
                await asyncio.to_thread(return_freed_memory)
                left = _resident_bytes()
                if resident - left > _WORTH_BYTES // 2:
                    kept, waits = left, 1
                else:  # it is in use, perhaps not for long
                    waits = looks_to_wait = min(2 * waits, _MOST_LOOKS)
        await asyncio.sleep(look_seconds)


def _bytes_read() -> int:
    """Return what this process has read by read(2), as uvloop does (proc_pid_io(5))."""
    first, *_ = Path("/proc/self/io").read_text().splitlines()
    return int(first.removeprefix("rchar: "))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
