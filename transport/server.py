"""A gRPC server: its listening sockets, and the connections accepted from them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic

from transport.accept_queue import accept_waiting
from transport.addresses import ServerAddress, parse_address
from transport.flood_guard import AddressResets
from transport.limits import GrpcLimits
from transport.router import Router
from transport.server_connection import Guard, Http2ServerConnection
from transport.tls import ServerTls
from transport.tls_listener import TlsListener

_BACKLOG = 1024
_MAX_CONNECTIONS = 1000
_ACCEPTED_SECONDS = 0.02
_HANDSHAKE_SECONDS = 1.0
"""That TLS handshakes which have begun may take when the server drains."""

OnError = Callable[[str, BaseException], None]
"""Takes the method's path and the exception that its handler raised."""


class GrpcServer:
    """Serves a router's methods on any number of addresses, on one event loop.

    Args:
        router: more methods may be added later.
        limits: of each connection.
        max_connections: over all addresses; a connection past the limit is closed at once.
        evict_idle: close the connection that has been without a call for longest instead, if any.
        on_error: takes exceptions that handlers raise; default: the event loop's exception handler.
    """

    def __init__(
        self,
        router: Router,
        *,
        limits: GrpcLimits | None = None,
        max_connections: int = _MAX_CONNECTIONS,
        evict_idle: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        self.router = router
        self.connections: set[Http2ServerConnection] = set()
        self._limits = limits or GrpcLimits()
        self._max_connections = max_connections
        self._evict_idle = evict_idle
        self._on_error = on_error
        self._address_resets = AddressResets(self._limits, monotonic)
        self._listeners: list[asyncio.Server | TlsListener] = []
        self._plain: list[tuple[socket.socket, Callable[[], Http2ServerConnection]]] = []
        """The sockets of the listeners without TLS, and what builds their connections."""
        self._unclosed: set[asyncio.Future[None]] = set()
        """`lost` of the connections with an open socket; a peer may still read what it was sent."""
        self._draining = False
        self._no_connections = asyncio.Event()
        self._no_connections.set()

    @property
    def in_flight(self) -> int:
        """The number of calls that are not over."""
        return sum(len(connection.streams) for connection in self.connections)

    async def listen(
        self,
        address: str,
        *,
        unix_mode: int = 0o600,
        shared: bool = False,
        tls: ServerTls | None = None,
        guard: Guard | None = None,
    ) -> str:
        """Listen at `unix:/path` or `host:port` (port 0: any free one); return the address.

        Args:
            address: a stale socket file, on which no process listens, is replaced.
            unix_mode: of the socket file.
            shared: let several processes listen on the port; the kernel distributes connections.
            tls: accept TLS only, see `TlsListener`.
            guard: decides by its headers whether a call may start.

        Raises:
            OSError: the address is in use, or not available.
            ValueError: the address has neither form.
        """
        target = parse_address(address)
        if target.path:
            loop, build = asyncio.get_running_loop(), partial(self._build, guard)
            sock = _bind_unix(target.path, unix_mode)
            self._listeners.append(
                await loop.create_unix_server(build, sock=sock, backlog=_BACKLOG)
            )
            self._plain.append((sock, build))
            return address
        socks = await _bind_tcp(target, shared=shared)
        port = socks[0].getsockname()[1]
        for sock in socks:
            await self.listen_on(sock, tls=tls, guard=guard)
        return f"{address.rpartition(':')[0]}:{port}"

    async def listen_on(
        self, sock: socket.socket, *, tls: ServerTls | None = None, guard: Guard | None = None
    ) -> None:
        """Accept connections from a listening TCP socket, which other processes may share."""
        build = partial(self._build, guard)
        if tls is None:
            loop = asyncio.get_running_loop()
            self._listeners.append(await loop.create_server(build, sock=sock, backlog=_BACKLOG))
            self._plain.append((sock, build))
        else:
            self._listeners.append(self._listen_with_tls(sock, tls, build))

    async def drain(self, grace: float) -> None:
        """Accept no new connections and calls, finish those in flight, and close.

        Calls that are not over after `grace` seconds end with UNAVAILABLE. Returns when every
        socket is closed, a second later at most: a client may still be reading what it was sent.
        """
        self._draining = True
        handshaking = [each for each in self._listeners if isinstance(each, TlsListener)]
        waiting = [
            (client, build) for sock, build in self._plain for client in accept_waiting(sock)
        ]
        self._stop_listening()
        loop = asyncio.get_running_loop()
        for client, build in waiting:
            with suppress(OSError):  # the client has left
                await loop.connect_accepted_socket(build, client)
        for connection in list(self.connections):
            connection.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                # What was accepted becomes a connection in the next turns of the event loop, or
                # after its handshake.
                await asyncio.sleep(_ACCEPTED_SECONDS)
                for listener in handshaking:
                    await listener.finish_handshakes(_HANDSHAKE_SECONDS)
                await self._no_connections.wait()
        self.close()
        if self._unclosed:
            await asyncio.wait(self._unclosed)

    def close(self) -> None:
        """Close everything at once; calls in flight end with UNAVAILABLE."""
        handshaking = [each for each in self._listeners if isinstance(each, TlsListener)]
        self._stop_listening()
        for listener in handshaking:
            listener.end_handshakes()
        for connection in list(self.connections):
            connection.shutdown()

    def _listen_with_tls(
        self, sock: socket.socket, tls: ServerTls, build: Callable[[], Http2ServerConnection]
    ) -> TlsListener:
        return TlsListener(
            sock,
            tls.context,
            build,
            handshake_seconds=lambda: self._limits.handshake_seconds,
            max_connections=lambda: self._max_connections,
        )

    def _build(self, guard: Guard | None) -> Http2ServerConnection:
        return Http2ServerConnection(
            self.router,
            self._limits,
            guard=guard,
            on_open=self._register,
            on_close=self._unregister,
            on_error=self._report_error,
        )

    def _register(self, connection: Http2ServerConnection) -> bool:
        if len(self.connections) >= self._max_connections:
            idle = [other for other in self.connections if not other.streams]
            if not (self._evict_idle and idle):
                return False
            min(idle, key=lambda other: other.idle_since).shutdown()
        if connection.client_host:
            address = self._address_resets.find(connection.client_host)
            connection.flood_guard.share_resets(address)
        self.connections.add(connection)
        self._unclosed.add(connection.lost)
        connection.lost.add_done_callback(self._unclosed.discard)
        self._no_connections.clear()
        if self._draining:
            asyncio.get_running_loop().call_soon(connection.drain)
        return True

    def _unregister(self, connection: Http2ServerConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._no_connections.set()

    def _report_error(self, path: str, error: BaseException) -> None:
        if self._on_error is not None:
            self._on_error(path, error)
            return
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the handler of {path} raised", "exception": error}
        )

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._plain.clear()


async def _bind_tcp(target: ServerAddress, *, shared: bool) -> list[socket.socket]:
    """Bind every address that the host name resolves to."""
    found = await asyncio.get_running_loop().getaddrinfo(
        target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    socks: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sock = socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=shared)
            socks.append(sock)
    except OSError:
        for sock in socks:
            sock.close()
        raise
    return socks


def _bind_unix(path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not _is_listening(path):
            Path(path).unlink()
        sock.bind(path)
        Path(path).chmod(mode)
    except OSError:
        sock.close()
        raise
    return sock


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
