"""Connections to addresses that were judged: the name is resolved once, by us, just before.

A name that is checked and then handed to a client is resolved a second time, and a hostile DNS
server answers differently then. So the client never resolves: it gets a connection to the very
address that was checked, still sends the name in Host and SNI, and checks the certificate by it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Protocol

import httpcore

from gateway.errors import GatewayError
from gateway.outbound.addresses import Address, Network, block_reason
from gateway.outbound.targets import OutboundTarget, ip_literal
from gateway.outbound.tcp_stream import TcpStream
from protos.errors import ErrorCode

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """Return all of them, IPv4 and IPv6; raise OSError where there are none."""


class SystemResolver:
    """The machine's own."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """See Resolver."""
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


class GuardedDialer(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, with the guard in it."""

    def __init__(self, allowed: Sequence[Network], *, resolver: Resolver | None = None) -> None:
        self._allowed = allowed
        self._resolver = resolver or SystemResolver()

    async def check(self, target: OutboundTarget) -> None:
        """Return where the target may be dialled now; for a look ahead, as when a URL is saved.

        Raises:
            GatewayError: BLOCKED_TARGET, or UPSTREAM_UNREACHABLE where the name has no address.
        """
        await self._addresses(target.host, target.port)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        local_address: str | None = None,  # noqa: ARG002 - the same
        socket_options: Iterable[SocketOption] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers, if every one of them is allowed."""
        trouble: Exception = httpcore.ConnectError("no address")
        for address in await self._addresses(host, port):
            try:
                return await TcpStream.connect(str(address), port)
            except httpcore.ConnectError as error:
                trouble = error
        raise trouble

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[SocketOption] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: there is no Unix socket that a URL of a user may mean."""
        raise GatewayError(ErrorCode.BLOCKED_TARGET, f"url: expected a host, got the socket {path}")

    async def sleep(self, seconds: float) -> None:
        """Wait, as httpcore asks."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        addresses = await self._resolve(host)
        for address in addresses:
            reason = block_reason(address, port, self._allowed)
            if reason:
                # The address itself is not told: that would let a user map the network behind us.
                message = f"url: {host} may not be called: {reason}"
                raise GatewayError(ErrorCode.BLOCKED_TARGET, message)
        return addresses

    async def _resolve(self, host: str) -> Sequence[Address]:
        literal = ip_literal(host)
        if literal is not None:
            return [literal]
        try:
            addresses = await self._resolver.resolve(host)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            message = f"url: {host} has no address"
            raise GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, message)
        return addresses
