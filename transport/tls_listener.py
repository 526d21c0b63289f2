"""A TLS port that bounds unfinished handshakes, in number and in time.

asyncio's TLS server reports a connection when its handshake is over. A client that never finishes
it is not counted until then, yet it holds a file descriptor.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from transport.accept_queue import accept_waiting

_HANDSHAKE_SHARE = 8
"""One eighth as many handshakes as connections: a handshake is short, a connection stays."""
_MIN_HANDSHAKES = 16
_RETRY_SECONDS = 1.0
"""Pause after `accept` fails for want of file descriptors or memory."""


class TlsListener:
    """Accepts connections and passes on those whose handshake completes in time.

    At the limit of handshakes, a new one replaces the oldest.

    Args:
        sock: a listening socket.
        context: for the handshakes.
        build: makes the protocol of a connection.
        handshake_seconds: the time limit of a handshake.
        max_connections: the limit of connections, from which that of handshakes follows.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        build: Callable[[], asyncio.Protocol],
        *,
        handshake_seconds: Callable[[], float],
        max_connections: Callable[[], int],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._context = context
        self._build = build
        self._handshake_seconds = handshake_seconds
        self._max_connections = max_connections
        self._loop = asyncio.get_running_loop()
        self._handshakes: dict[asyncio.Task[None], None] = {}  # in the order of their start
        self._retry: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Stop listening; handshakes go on, also those of clients that wait to be accepted."""
        if self._retry is not None:
            self._retry.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            # No more than there is room for: others would end handshakes that have begun.
            waiting = accept_waiting(self._sock, self._limit() - len(self._handshakes))
            self._sock.close()
            for client in waiting:
                self._begin(client)

    async def finish_handshakes(self, seconds: float) -> None:
        """Wait for the handshakes that have begun, and end those that take longer."""
        if self._handshakes:
            await asyncio.wait(self._handshakes, timeout=seconds)
        self.end_handshakes()

    def end_handshakes(self) -> None:
        """End those that have begun."""
        for task in self._handshakes:
            task.cancel()

    def _listen(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process accepted it, or the client has left
        except OSError:
            self._loop.remove_reader(self._sock)
            self._retry = self._loop.call_later(_RETRY_SECONDS, self._listen)
            return
        client.setblocking(False)
        self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        if len(self._handshakes) >= self._limit():
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._handshake(client))
        self._handshakes[task] = None
        task.add_done_callback(partial(self._on_done, client))

    def _limit(self) -> int:
        return max(_MIN_HANDSHAKES, self._max_connections() // _HANDSHAKE_SHARE)

    async def _handshake(self, client: socket.socket) -> None:
        with suppress(OSError):  # refused, too late, or disconnected
            await self._loop.connect_accepted_socket(
                self._build,
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_seconds(),
            )

    def _on_done(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if task.cancelled():  # possibly before it started, when nothing else closes the socket
            client.close()
