"""How a gateway wakes a worker that its supervisor has put to sleep: by the date of a file.

Who sends a run rings; who has no worker running looks. Nothing is lost where nobody looks, and no
process needs to know of another. On other machines whoever runs the workers decides when.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_PAUSE_SECONDS = 0.1


class Bell:
    """One bell a state folder."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._file = run / "wake"
        self._rung_at = 0.0

    def ring(self) -> None:
        """Say that there is work; cheap enough to be said at every run."""
        now = time.monotonic()
        if now - self._rung_at < _PAUSE_SECONDS:
            return
        self._rung_at = now
        with suppress(OSError):  # nobody runs on that folder
            self._file.touch()

    def silent_for(self) -> float:
        """Return the seconds since the last ring; for ever where there was none."""
        rung = self.rung()
        return (time.time_ns() - rung) / 1e9 if rung else float("inf")

    def rung(self) -> int:
        """Return what rises with each ring; 0 where there was none."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0
