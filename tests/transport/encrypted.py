"""Calls by TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.transport.services import ECHO, TIMEOUT_SECONDS
from transport import ClientTls, connect

Listen = Callable[..., Awaitable[str]]


async def echoed(address: str, tls: ClientTls, message: bytes = b"hello") -> bytes:
    """Return what the server says to one call on a connection of its own."""
    connection = await connect(address, tls=tls)
    try:
        return await connection.unary(ECHO, message, timeout=TIMEOUT_SECONDS)
    finally:
        connection.close()


def bare(address: str) -> str:
    """Return an address without its scheme."""
    return address.removeprefix("grpcs://")
