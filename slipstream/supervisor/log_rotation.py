"""Keeps the log file of the processes small. Only the supervisor moves it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from slipstream.log_files import rotate
from telemetry.logs import logger

_SECONDS = 1.0
"""Between two looks at its size."""

log = logger("slipstream.supervisor")


class LogRotation:
    """Moves the file away when it is large, and deletes the oldest one."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        """Keep `file` and the older ones below `max_bytes` together, about."""
        self._file = file
        self._max_bytes = max_bytes

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        fails = False
        while True:
            try:
                await asyncio.to_thread(rotate, self._file, self._max_bytes)
                fails = False
            except OSError as error:
                if not fails:  # once, until it works again
                    log.warning("log_not_rotated", file=str(self._file), reason=error.strerror)
                fails = True
            await asyncio.sleep(_SECONDS)
