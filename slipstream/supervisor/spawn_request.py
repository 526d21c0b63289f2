"""Requests a server from another process; `inference_server.spawn` receives the request."""

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
    """Request a server with `arguments`, those of `python -m inference_server`.

    It reports on `status_fd` and ends when `lifeline_fd` closes. `requested_at` is the
    `perf_counter()` that its boot time counts from.

    Raises:
        OSError: the request cannot be sent.
    """
    request = json.dumps({"arguments": list(arguments), "requested_at": requested_at}).encode()
    socket.send_fds(control, [request], [status_fd, lifeline_fd])


async def await_pid(status_fd: int, *, within: float) -> int:
    """Read the first line from the status pipe of a server and return the pid in it.

    Raises:
        OSError: the pipe was closed before, or `within` seconds have passed.
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
    raise ConnectionError("the pipe was closed")
