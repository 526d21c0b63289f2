"""The fork server: a process with everything imported, from which servers are forked."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import ClassVar

from slipstream.settings import inference_environment
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.spawn_request import send_spawn_request


class ForkServer:
    """A fork server that runs or starts; see `inference_server.fork_server`."""

    SUPPORTED: ClassVar[bool] = sys.platform == "linux"
    """Whether this system can make a process the parent of orphans (a subreaper)."""

    def __init__(self, child: ChildProcess, control: socket.socket, lifeline: Lifeline) -> None:
        self.child = child
        self._control = control
        self._lifeline = lifeline

    @classmethod
    def start(cls, lifeline: Lifeline) -> ForkServer:
        """Start one. It reports `ready` on its status pipe.

        Raises:
            OSError: the system cannot start another process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "inference_server.fork_server"]
            command += ["--control-fd", str(theirs.fileno())]
            try:
                child = ChildProcess.spawn(
                    command,
                    lifeline=lifeline,
                    inherit=[theirs.fileno()],
                    environment=inference_environment(),
                )
            except OSError:
                ours.close()
                raise
        return cls(child, ours, lifeline)

    def request_server(
        self, arguments: Sequence[str], *, status_fd: int, requested_at: float
    ) -> None:
        """Request a server; see `send_spawn_request`."""
        lifeline_fd = self._lifeline.read_fd
        send_spawn_request(
            self._control,
            arguments,
            requested_at=requested_at,
            status_fd=status_fd,
            lifeline_fd=lifeline_fd,
        )

    def end(self) -> None:
        """Kill it. The servers that it has forked go on."""
        self.child.kill()
        self._control.close()
