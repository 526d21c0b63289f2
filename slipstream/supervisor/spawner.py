"""The port through which inference servers are started, and the simplest way to do it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from slipstream.supervisor.process import ChildProcess, Lifeline


class Spawner(Protocol):
    """Starts inference servers."""

    async def spawn(self, arguments: Sequence[str]) -> ChildProcess:
        """Start one with `arguments`, those of `python -m inference_server`.

        Raises:
            OSError: the system has no room for it.
        """


class Source(Spawner, Protocol):
    """A spawner with processes of its own, from which inference servers come."""

    async def run(self) -> None:
        """Keep them, until cancelled."""

    async def drain(self, grace: float) -> None:
        """Let them go, once they have no servers any more; kill those that stay for longer."""

    def kill(self) -> None:
        """End them at once."""


class DirectSpawner:
    """Starts each as a new Python, which works on every system."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    async def spawn(self, arguments: Sequence[str]) -> ChildProcess:
        """See Spawner."""
        command = [sys.executable, "-m", "inference_server", *arguments]
        return ChildProcess.spawn(command, lifeline=self._lifeline)
