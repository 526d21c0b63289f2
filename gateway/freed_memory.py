"""Gives the memory that large bodies have left behind back to the system."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

from telemetry.allocator import return_freed_memory

_LOOK_SECONDS = 10.0
_QUIET_BYTES = 32 * 2**20
"""A process that has read fewer since the last look, also from its database, has few large bodies
now. With many, memory that it gave back would have to be got again, page by page."""
_WORTH_BYTES = 64 * 2**20
"""Of growth: less is not worth it."""


async def return_memory_when_quiet(look_seconds: float = _LOOK_SECONDS) -> None:
    """Do so until cancelled: where the C library can, and Linux says what a process has read."""
    read = _bytes_read()
    if read is None:
        return
    kept = _resident_bytes()
    while True:
        await asyncio.sleep(look_seconds)
        before, read = read, _bytes_read()
        assert read is not None
        if read - before <= _QUIET_BYTES and _resident_bytes() - kept > _WORTH_BYTES:
            # In a thread, although threads that allocate may wait meanwhile: for about 1 ms.
            await asyncio.to_thread(return_freed_memory)
            kept = _resident_bytes()


def _bytes_read() -> int | None:
    """Return what this process has read from files and sockets (proc_pid_io(5)), if it is known."""
    try:
        first, *_ = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return int(first.removeprefix("rchar: "))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
