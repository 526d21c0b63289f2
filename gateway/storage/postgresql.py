"""Connections to PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import asyncpg
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

_TCP_OPTIONS = {
    "TCP_USER_TIMEOUT": 10_000,  # milliseconds without an acknowledgement
    "TCP_KEEPIDLE": 5,  # seconds, as the next one
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
}
"""A server that is busy or frozen acknowledges packets all the same."""
_IDLE_SECONDS = 10.0
"""How long the server waits for the next statement of a transaction, whose locks others wait for. A
process that is stopped (SIGSTOP) in the middle, or a host that is cut off, would keep them."""


# Any: arguments of asyncpg
async def connect(*args: Any, **options: Any) -> asyncpg.Connection[Any]:
    """Open a connection that ends by itself some ten seconds after packets begin to be dropped.

    TCP would try for a quarter of an hour: a host that was cut off and is back would still wait for
    answers to what it had asked before, and one that only listens would hear nothing, ever.

    Raises:
        ConnectionError: the server did not answer in time, or refused.
        asyncpg.PostgresError: it answered with an error.
    """
    seconds = options.get("timeout")
    try:
        async with asyncio.timeout(seconds):
            connection = await asyncpg.connect(*args, **options)
            try:
                # No parameter of the start-up, which PgBouncer refuses.
                idle_ms = round(_IDLE_SECONDS * 1000)
                await connection.execute(f"SET idle_in_transaction_session_timeout = {idle_ms}")
            except BaseException:
                connection.terminate()
                raise
    except TimeoutError as error:  # as if it was away: a time-out says nothing of the database
        raise ConnectionError(f"no connection within {seconds:g} s") from error
    # asyncpg has no option for it, and no public way to its socket.
    used: socket.socket = connection._transport.get_extra_info("socket")  # noqa: SLF001
    if used.family != socket.AF_UNIX:
        used.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TCP_OPTIONS.items():
            if hasattr(socket, name):  # Linux has all of them
                used.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def replace_if_closed(
    _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Have the pool replace a connection that the server has closed, or that packets do not reach.

    The event loop notices both without asking. SQLAlchemy's `pool_pre_ping` asks: it begins a
    transaction, sends an empty statement and rolls back, which is longer than most of our reads.
    """
    connection = entry.driver_connection
    if connection is None or connection.is_closed():
        raise DisconnectionError
