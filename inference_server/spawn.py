"""A request of the supervisor's for one more inference server, and the answer to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import orjson

_LONGEST_REQUEST = 1 << 17
_DESCRIPTORS = 2


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """One server that is asked for.

    On the wire JSON with `arguments` (of `python -m inference_server`) and `requested_at` (a
    `perf_counter()`, which all processes of a Linux machine share), and beside it two descriptors.
    The server's first status line is `spawned`, with its pid: there is no answer but that. If the
    status pipe closes without it, there is no server and never will be.
    """

    arguments: Sequence[str]
    requested_at: float
    status_fd: int
    lifeline_fd: int

    @classmethod
    def receive(cls, control: socket.socket) -> Self | None:
        """Wait for the next request; None when there will be none."""
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, _DESCRIPTORS)
        if not message:
            return None
        status_fd, lifeline_fd = descriptors
        return cls(**orjson.loads(message), status_fd=status_fd, lifeline_fd=lifeline_fd)

    def report_birth(self) -> None:
        """Say which process we are.

        Raises:
            BrokenPipeError: nobody waits for the server any more.
        """
        line = orjson.dumps(
            {"event": "spawned", "pid": os.getpid()}, option=orjson.OPT_APPEND_NEWLINE
        )
        os.write(self.status_fd, line)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.status_fd)
        os.close(self.lifeline_fd)
