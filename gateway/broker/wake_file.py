"""How a gateway wakes a worker that its supervisor has put to sleep: by the date of a file.

Who sends a run rings; who has no worker running looks. Nothing is lost where nobody looks, and no
process needs to know of another. On other machines whoever runs the workers decides when.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_MIN_INTERVAL_SECONDS = 0.1


class WakeFile:
    """One bell a state folder."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._file = run / "wake"
        self._last_touch = 0.0

    def touch(self) -> None:
        """Say that there is work; cheap enough to be said at every run."""
        now = time.monotonic()
        if now - self._last_touch < _MIN_INTERVAL_SECONDS:
            return
        self._last_touch = now
        with suppress(OSError):  # nobody runs on that folder
            self._file.touch()

    def seconds_since_touch(self) -> float:
        """Return the seconds since the last ring; for ever where there was none."""
        touched_at = self.touched_at()
        return (time.time_ns() - touched_at) / 1e9 if touched_at else float("inf")

    def touched_at(self) -> int:
        """Return what rises with each ring; 0 where there was none."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0
