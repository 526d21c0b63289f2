"""Connections that are kept for a while, by where they lead.

httpcore's own pool looks at every connection that is open whenever a request begins or ends, and
asks the operating system about each that is idle: with a hundred of them that took half of the time
of a request. Here only the connection that is taken is looked at.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore

OriginKey = tuple[str, str, int]
"""Scheme, host and port."""


class ConnectionPool:
    """At most so many connections, each used by one request at a time. For one event loop."""

    def __init__(
        self,
        network: httpcore.AsyncNetworkBackend,
        *,
        ssl_context: ssl.SSLContext | None,
        most: int,
        kept_seconds: float,
    ) -> None:
        """Open `most` at a time by `network`, and keep those that are idle for `kept_seconds`.

        `ssl_context` replaces the usual one, which trusts the usual authorities.
        """
        self._network = network
        self._ssl_context = ssl_context
        self._most = most
        self._kept_seconds = kept_seconds
        self._turns = asyncio.Semaphore(most)
        self._busy = 0
        self._idle: OrderedDict[OriginKey, deque[tuple[float, httpcore.AsyncHTTPConnection]]]
        self._idle = OrderedDict()  # the place that was used last is the last one
        self._idle_count = 0
        self._closed = False

    @asynccontextmanager
    async def to(self, place: OriginKey) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        """Have a connection to a place; wait where all are busy."""
        async with self._turns:
            self._busy += 1
            try:
                connection = await self._take(place)
                try:
                    yield connection
                finally:
                    await self._give_back(place, connection)
            finally:
                self._busy -= 1

    async def close(self) -> None:
        """Close those that are idle, and the others when they come to be."""
        self._closed = True
        while self._idle:
            await self._close_oldest()

    async def _take(self, place: OriginKey) -> httpcore.AsyncHTTPConnection:
        idle = self._idle.get(place)
        while idle:
            _, connection = idle.pop()  # the one used last: the others may expire
            self._idle_count -= 1
            if not idle:
                del self._idle[place]
            if not connection.has_expired():
                return connection
            await connection.aclose()
        if self._busy + self._idle_count > self._most:
            await self._close_oldest()
        return self._connection(place)

    async def _give_back(self, place: OriginKey, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_available() and not self._closed:
            self._idle.setdefault(place, deque()).append((time.monotonic(), connection))
            self._idle.move_to_end(place)
            self._idle_count += 1
        elif not connection.is_closed():
            await connection.aclose()
        while self._idle and self._oldest_at() < time.monotonic() - self._kept_seconds:
            await self._close_oldest()

    def _oldest_at(self) -> float:
        """Return since when the first connection of the place used longest ago is idle."""
        return next(iter(self._idle.values()))[0][0]

    async def _close_oldest(self) -> None:
        place, idle = next(iter(self._idle.items()))
        _, connection = idle.popleft()
        self._idle_count -= 1
        if not idle:
            del self._idle[place]
        await connection.aclose()

    def _connection(self, place: OriginKey) -> httpcore.AsyncHTTPConnection:
        scheme, host, port = place
        if scheme == "https" and self._ssl_context is None:
            # Made once: reading the authorities takes as long as many requests.
            self._ssl_context = httpcore.default_ssl_context()
        return httpcore.AsyncHTTPConnection(
            httpcore.Origin(scheme.encode(), host.encode("ascii"), port),
            ssl_context=self._ssl_context,
            keepalive_expiry=self._kept_seconds,
            network_backend=self._network,
        )
