"""The port through which a worker's child runs what it has been handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class RunExecutor(Protocol):
    """Made, used and closed in one process, on one event loop."""

    async def start(self) -> None:
        """Open what is needed; called again after a while where it raises."""

    async def run(self, run_id: str) -> None:
        """Claim the run, execute it, write down how it ended; nothing where it is not to be had."""

    async def close(self) -> None:
        """Hand back what still runs, then give everything back. Has a few seconds for it."""


BuildExecutor = Callable[[], RunExecutor]
"""Makes an executor; called after the fork, on the event loop that the executor lives on."""
