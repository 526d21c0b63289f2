"""The two queues, apart so that long runs never stand in front of short ones, and the one task."""

from __future__ import annotations

from enum import StrEnum

TASK = "slipstream.run"
"""Takes one argument, the id of a run."""


class Queue(StrEnum):
    """What waits where. The broker's name of it begins with the installation's prefix."""

    SYNC = "sync"
    """Runs that somebody waits for on an open connection."""
    ASYNC = "async"
    """All others; each may take hours."""

    def name_in(self, prefix: str) -> str:
        """Return what the broker calls it: `slipstream.sync`."""
        return f"{prefix}.{self.value}"
