"""Connections to PostgreSQL."""

from __future__ import annotations

import socket
from typing import Any

import asyncpg

_TCP_OPTIONS = {
    "TCP_USER_TIMEOUT": 10_000,  # milliseconds without an acknowledgement
    "TCP_KEEPIDLE": 5,  # seconds, as the next one
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
}
"""A server that is busy or frozen acknowledges packets all the same."""


# Any: arguments of asyncpg
async def connect(*args: Any, **options: Any) -> asyncpg.Connection[Any]:
    """Open a connection that ends by itself some ten seconds after packets begin to be dropped.

    TCP would try for a quarter of an hour: a host that was cut off and is back would still wait for
    answers to what it had asked before, and one that only listens would hear nothing, ever.
    """
    connection = await asyncpg.connect(*args, **options)
    # asyncpg has no option for it, and no public way to its socket.
    used: socket.socket = connection._transport.get_extra_info("socket")  # noqa: SLF001
    if used.family != socket.AF_UNIX:
        used.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TCP_OPTIONS.items():
            if hasattr(socket, name):  # Linux has all of them
                used.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
