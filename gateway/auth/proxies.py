"""The client address of a request: the connection's peer, or as reported by a trusted proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDING = frozenset(
    {
        *(_FORWARDED_FOR, b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"),
        *(b"forwarded", b"via", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"),
    }
)
"""Headers of which every common proxy adds at least one if it is told to name the client."""
_MAX_HOPS = 16
"""Addresses that are evaluated, from the right; earlier ones are ignored."""

Network = IPv4Network | IPv6Network


class TrustedProxies:
    """The trusted reverse proxies. The only code that decides a request's client address."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the client's address; empty for a Unix socket.

        It is the rightmost address of `X-Forwarded-For` that is not a trusted proxy: each proxy
        appends its peer, and a client can invent everything before that. An entry that is not an
        address ends the search; the result is then the last proxy.

        Args:
            peer: the address of the connection's peer.
            headers: the request's header lines, names in lower case.
        """
        known = self._proxy(peer)
        if known is None:
            return peer
        lines = [value for name, value in headers if name == _FORWARDED_FOR]
        for word in reversed(b",".join(lines).rsplit(b",", _MAX_HOPS)):
            named = _parse_address(word.decode("latin-1").strip())
            if named is None:
                break
            known = named
            if not self._trusts(named):
                break
        return str(known)

    def trusts(self, peer: str) -> bool:
        """Whether the peer of a connection is a trusted proxy."""
        return self._proxy(peer) is not None

    def is_local(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a program on this machine has sent the request, and not a proxy for its client.

        Takes the arguments of `client`.
        """
        address = _parse_address(peer)
        if address is None or not address.is_loopback or self._trusts(address):
            return False
        return _FORWARDING.isdisjoint(name for name, _ in headers)

    def _proxy(self, peer: str) -> IPv4Address | IPv6Address | None:
        """Return the peer's address if it is a trusted proxy."""
        address = _parse_address(peer) if self._trusted else None
        return address if address is not None and self._trusts(address) else None

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; None: invalid.

    An IPv4-mapped IPv6 address is returned as IPv4.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:  # a scope is valid on the proxy's machine only
            return None
        return address.ipv4_mapped or address
    return address
