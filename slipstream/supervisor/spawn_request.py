"""How another process is asked for an inference server; `inference_server.spawn` is its end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence


def send_spawn_request(
    control: socket.socket,
    arguments: Sequence[str],
    *,
    requested_at: float,
    status_fd: int,
    lifeline_fd: int,
) -> None:
    """Ask for a server with `arguments`, those of `python -m inference_server`.

    It reports on `status_fd` and ends when `lifeline_fd` closes. `requested_at` is the
    `perf_counter()` that its boot time counts from.

    Raises:
        OSError: nobody can take the request.
    """
    request = json.dumps({"arguments": list(arguments), "requested_at": requested_at}).encode()
    socket.send_fds(control, [request], [status_fd, lifeline_fd])


async def await_pid(status_fd: int, *, within: float) -> int:
    """Return the pid of the server that reports on the pipe, and leave its further lines there.

    Raises:
        OSError: there is none, or none within so many seconds.
    """
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(status_fd, readable.set)
    try:
        async with asyncio.timeout(within):
            await readable.wait()
    finally:
        loop.remove_reader(status_fd)
    line = b""
    while byte := os.read(status_fd, 1):
        if byte == b"\n":
            return int(json.loads(line)["pid"])
        line += byte
    raise ConnectionError("it ended")
