"""The contract between the supervisor and a server's process: request, status pipe, exit status."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import orjson

_MAX_REQUEST_BYTES = 1 << 17
_DESCRIPTORS = 2


class ServerExitStatus(IntEnum):
    """The expected exit statuses; 1 is a failure, 2 a wrong command line."""

    STOPPED = 0
    """Told to stop; calls in flight were answered."""
    IDLE = 4
    """No call for `--idle-timeout` seconds. The next call has it started again."""
    STUCK = 5
    """A run or a load did not end in time, and only the end of the process ends its thread."""


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """The supervisor's request for one more server.

    Sent over a Unix socket as JSON with `arguments` (of `python -m inference_server`) and
    `requested_at` (a `perf_counter()`, which all processes of a Linux machine share), together with
    two file descriptors. The only reply is the server's first status line, `spawned` with its pid.
    If the status pipe closes without it, no server was started.
    """

    arguments: Sequence[str]
    requested_at: float
    status_fd: int
    lifeline_fd: int

    @classmethod
    def receive(cls, control: socket.socket) -> Self | None:
        """Wait for the next request; None if the other end is closed."""
        message, descriptors, _, _ = socket.recv_fds(control, _MAX_REQUEST_BYTES, _DESCRIPTORS)
        if not message:
            return None
        status_fd, lifeline_fd = descriptors
        return cls(**orjson.loads(message), status_fd=status_fd, lifeline_fd=lifeline_fd)

    def report_pid(self) -> None:
        """Write the first status line.

        Raises:
            BrokenPipeError: the supervisor has given up waiting for the server.
        """
        line = {"event": "spawned", "pid": os.getpid()}
        os.write(self.status_fd, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.status_fd)
        os.close(self.lifeline_fd)
