"""Limits of a client's connection, which apply before the client is authenticated."""

from __future__ import annotations

import resource
from dataclasses import dataclass

_OTHER_FILES = 256
"""File descriptors that a gateway process needs at most besides those of its clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits of requests as they arrive, and of connections."""

    max_header_bytes: int = 32 * 1024
    """The size of all headers of a request, names and values."""
    max_header_count: int = 100
    max_url_bytes: int = 8 * 1024
    header_seconds: float = 10.0
    """The time from the first byte of a request to its last header."""
    body_seconds: float = 60.0
    """The time to receive a body, plus a second per `bytes_per_second` received."""
    bytes_per_second: int = 16 * 1024
    stall_seconds: float = 60.0
    """The time without progress after which an unread response ends the connection."""
    max_connections: int = 4096
    max_connections_per_address: int = 2048
    max_bodies_per_address: int = 1024
    """Of requests whose bodies are still arriving."""
    max_unfinished_bytes: int = 256 * 1024 * 1024
    """The memory of bodies that are still arriving, over all connections."""


def max_connections_for(wanted: int) -> int:
    """Return `wanted`, or fewer if the process's limit of open files requires it."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(16, files - _OTHER_FILES))
