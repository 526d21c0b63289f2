"""Name resolution that yields allowed addresses only.

A client that checks a name and then connects by name resolves it twice, and a hostile DNS server
gives another answer the second time (DNS rebinding). Here the check is part of the only resolution:
aiohttp connects to the very addresses that were checked, while Host, SNI and the certificate check
still use the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.errors import GatewayError
from gateway.outbound.addresses import Address, Network, block_reason
from gateway.outbound.targets import OutboundTarget, ip_literal
from protos.errors import ErrorCode


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """Return all of them, IPv4 and IPv6; raise OSError if there are none."""


class SystemResolver:
    """The operating system's resolver."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """See Resolver."""
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver, with the guard in it."""

    def __init__(self, allowed: Sequence[Network], *, resolver: Resolver | None = None) -> None:
        """Allow the public internet, and private addresses in the networks `allowed`."""
        self._allowed = allowed
        self._resolver = resolver or SystemResolver()

    async def check(self, target: OutboundTarget) -> None:
        """Check whether the target may be called now.

        Raises:
            GatewayError: BLOCKED_TARGET, or UPSTREAM_UNREACHABLE if the name has no address.
        """
        literal = ip_literal(target.host)
        if literal is None:
            await self._allowed_addresses(target.host, target.port)
        else:
            self._check_addresses(target.host, target.port, [literal])

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise as `check`.

        aiohttp does not call it for IP addresses: see `check`.
        """
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._allowed_addresses(host, port)
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    async def _allowed_addresses(self, host: str, port: int) -> Sequence[Address]:
        try:
            addresses = await self._resolver.resolve(host)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            message = f"url: {host} has no address"
            raise GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, message)
        self._check_addresses(host, port, addresses)
        return addresses

    def _check_addresses(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        # One blocked address blocks the name: which of them is dialled is the network's choice.
        for address in addresses:
            reason = block_reason(address, port, self._allowed)
            if reason:
                # Without the address: it would let a user map the network behind the gateway.
                message = f"url: {host} is blocked: {reason}"
                raise GatewayError(ErrorCode.BLOCKED_TARGET, message)
