"""The server's side: sockets that listen, and the connections that they gave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from transport.addresses import Address, parse_address
from transport.guarded_link import Guard, GuardedLink
from transport.limits import Limits
from transport.router import Router
from transport.server_link import ServerLink
from transport.tls import ServerTls
from transport.tls_listener import TlsListener

_BACKLOG = 1024
_MAX_CONNECTIONS = 1000

OnError = Callable[[str, BaseException], None]
"""Takes the method's path and what its handler raised."""


class Server:
    """Answers calls by a router's handlers, on any number of addresses, on one event loop.

    Args:
        router: may get more methods later.
        limits: of each connection.
        max_connections: of all addresses together; a connection past them is closed at once.
        evicts_idle: rather close the one that has had no call for the longest, if there is one.
        on_error: told of handlers' bugs; without it the event loop's exception handler is.
    """

    def __init__(
        self,
        router: Router,
        *,
        limits: Limits | None = None,
        max_connections: int = _MAX_CONNECTIONS,
        evicts_idle: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        self.router = router
        self.links: set[ServerLink] = set()
        self._limits = limits or Limits()
        self._max_connections = max_connections
        self._evicts_idle = evicts_idle
        self._on_error = on_error
        self._listeners: list[asyncio.Server | TlsListener] = []
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def in_flight(self) -> int:
        """How many calls are not over."""
        return sum(len(link.streams) for link in self.links)

    async def listen(
        self,
        address: str,
        *,
        unix_mode: int = 0o600,
        shared: bool = False,
        tls: ServerTls | None = None,
        guard: Guard | None = None,
    ) -> str:
        """Take connections at `unix:/path` or `host:port` (port 0: any); return the address.

        A socket file that nobody listens on any more is replaced; `unix_mode` is its mode. A port
        that is `shared` may be taken by several processes, among which the kernel deals out. With
        `tls` a port takes nothing else, see `TlsListener`.
        What comes in there begins only if `guard` lets it.

        Raises:
            OSError: the address is in use, or not ours.
            ValueError: the address is neither form.
        """
        target = parse_address(address)
        loop = asyncio.get_running_loop()
        build = partial(self._build, guard)
        if target.path:
            sock = _bind_unix(target.path, unix_mode)
            self._listeners.append(
                await loop.create_unix_server(build, sock=sock, backlog=_BACKLOG)
            )
            return address
        socks = await _bind_tcp(target, shared=shared)
        port = socks[0].getsockname()[1]
        for sock in socks:
            if tls is None:
                listener = await loop.create_server(build, sock=sock, backlog=_BACKLOG)
                self._listeners.append(listener)
            else:
                self._listeners.append(self._listen_with_tls(sock, tls, build))
        return f"{address.rpartition(':')[0]}:{port}"

    async def drain(self, grace: float) -> None:
        """Take no new connection and no new call, finish those in flight, and close.

        Calls that are not over after `grace` seconds end with UNAVAILABLE.
        """
        self._stop_listening()
        for link in list(self.links):
            link.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        self.close()

    def close(self) -> None:
        """Close everything at once; calls in flight end with UNAVAILABLE."""
        self._stop_listening()
        for link in list(self.links):
            link.shut()

    def admit(self, link: ServerLink) -> bool:
        """Take a connection in, unless there are too many and none gives way."""
        if len(self.links) >= self._max_connections:
            idle = [other for other in self.links if not other.streams]
            if not (self._evicts_idle and idle):
                return False
            min(idle, key=lambda other: other.idle_since).shut()
        self.links.add(link)
        self._empty.clear()
        return True

    def dismiss(self, link: ServerLink) -> None:
        """Forget a connection."""
        self.links.discard(link)
        if not self.links:
            self._empty.set()

    def report(self, path: str, error: BaseException) -> None:
        """Tell whoever is responsible of a handler's bug."""
        if self._on_error is not None:
            self._on_error(path, error)
            return
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the handler of {path} raised", "exception": error}
        )

    def _listen_with_tls(
        self, sock: socket.socket, tls: ServerTls, build: Callable[[], ServerLink]
    ) -> TlsListener:
        return TlsListener(
            sock,
            tls.context,
            build,
            seconds=lambda: self._limits.handshake_seconds,
            max_connections=lambda: self._max_connections,
        )

    def _build(self, guard: Guard | None) -> ServerLink:
        if guard is None:
            return ServerLink(self, self._limits)
        return GuardedLink(self, self._limits, guard)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()


async def _bind_tcp(target: Address, *, shared: bool) -> list[socket.socket]:
    """Listen at each address that a host's name stands for."""
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
        if Path(path).is_socket() and not _answers(path):
            Path(path).unlink()
        sock.bind(path)
        Path(path).chmod(mode)
    except OSError:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
