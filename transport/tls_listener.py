"""A port that speaks TLS: of clients that have not ended the handshake, not many, and not for long.

asyncio's own shows a connection when its handshake is over. Who never ends it is in nobody's count
until then, and takes a descriptor all the same.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_SHARE = 8
"""One eighth as many handshakes as connections: they take a moment, where a connection stays."""
_FEWEST = 16
_REST_SECONDS = 1.0
"""Where no connection can be taken: there is no descriptor left, or no memory."""


class TlsListener:
    """Takes connections, and makes those whose handshake ends in time.

    Of too many handshakes the one that began first gives way.

    Args:
        sock: listens already.
        context: for the handshakes.
        build: makes the protocol of a connection.
        seconds: that a client has for its handshake.
        max_connections: that there are to be when their handshakes are over.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        build: Callable[[], asyncio.Protocol],
        *,
        seconds: Callable[[], float],
        max_connections: Callable[[], int],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._context = context
        self._build = build
        self._seconds = seconds
        self._max_connections = max_connections
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._resting: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Take no new connection; end the handshakes that are under way."""
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._under_way:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until those handshakes have ended."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _listen(self) -> None:
        self._resting = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was faster, or the client has left
        except OSError:
            self._loop.remove_reader(self._sock)
            self._resting = self._loop.call_later(_REST_SECONDS, self._listen)
            return
        client.setblocking(False)
        if len(self._under_way) >= max(_FEWEST, self._max_connections() // _SHARE):
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._shake(client))
        self._under_way[task] = None
        task.add_done_callback(partial(self._over, client))

    async def _shake(self, client: socket.socket) -> None:
        with suppress(OSError):  # refused, too late, or gone
            await self._loop.connect_accepted_socket(
                self._build, client, ssl=self._context, ssl_handshake_timeout=self._seconds()
            )

    def _over(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if task.cancelled():  # perhaps before it began
            client.close()
