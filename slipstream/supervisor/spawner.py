"""The interface of what starts inference servers, and the simplest way to start one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from slipstream.settings import inference_environment
from slipstream.supervisor.handover import Handover, PassedSharedProcess
from slipstream.supervisor.process import ChildProcess, Lifeline


class ServerSpawner(Protocol):
    """Starts inference servers, with helper processes of its own."""

    async def run(self) -> None:
        """Keep the helper processes running until cancelled."""

    async def spawn(self, arguments: Sequence[str], *, group: str = "") -> ChildProcess:
        """Start a server with `arguments`, those of `python -m inference_server`.

        Servers of a `group`, if it has a name, do not share a process: one survives another.

        Raises:
            OSError: the system cannot start another process.
        """

    def adopt(self, predecessor: Handover) -> dict[str, ChildProcess]:
        """Return the servers that a predecessor has started, by their keys."""

    async def detach(self) -> Sequence[PassedSharedProcess]:
        """Let go of helper processes with servers, and stop the others."""

    async def drain(self, grace: float) -> None:
        """Stop the helper processes once they have no servers; kill them after `grace` seconds."""

    def kill(self) -> None:
        """Kill the helper processes."""


def spawn_directly(arguments: Sequence[str], lifeline: Lifeline) -> ChildProcess:
    """Start a server as a new Python process, which works on every system; raises OSError."""
    command = [sys.executable, "-m", "inference_server", *arguments]
    return ChildProcess.spawn(command, lifeline=lifeline, environment=inference_environment())
