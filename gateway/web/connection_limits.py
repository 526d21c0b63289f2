"""What one client's connection may cost, before anybody knows who it is."""

from __future__ import annotations

import resource
from dataclasses import dataclass

_OTHER_FILES = 256
"""Descriptors that a gateway process needs beside its clients' connections, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits of requests as they arrive, and of connections."""

    max_header_bytes: int = 32 * 1024
    """Of all headers of a request, names and values."""
    max_header_count: int = 100
    max_url_bytes: int = 8 * 1024
    header_seconds: float = 10.0
    """From a request's first byte to its last header."""
    body_seconds: float = 60.0
    """That a body may take, and a second more for every `bytes_per_second` of it."""
    bytes_per_second: int = 16 * 1024
    stall_seconds: float = 60.0
    """That a client may leave an answer unread without taking any of it."""
    max_connections: int = 4096


def max_connections_for(wanted: int) -> int:
    """Return `wanted`, or as many as the process' limit of open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(16, files - _OTHER_FILES))
