"""Where a request comes from: the other end of its connection, or whom a trusted proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_FORWARDED_FOR = b"x-forwarded-for"
_MAX_HOPS = 16
"""That are followed: what stands before them is not looked at."""

Network = IPv4Network | IPv6Network


class TrustedProxies:
    """The reverse proxies that are believed. The only place that decides whom a request is of."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the address that a request comes from; empty where that is a Unix socket.

        Of `X-Forwarded-For` it is the rightmost address that is not a trusted proxy's: each proxy
        appends whom it was asked by, and what stands before that may be anybody's invention. Where
        something that is no address stands there, it is the last proxy that is known.

        Args:
            peer: the address of the connection's other end.
            headers: the request's, each line of its own, names in lower case.
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

    def _proxy(self, peer: str) -> IPv4Address | IPv6Address | None:
        """Return the address of a peer that is trusted."""
        address = _parse_address(peer) if self._trusted else None
        return address if address is not None and self._trusts(address) else None

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; None: none of them.

    An IPv4 address that is written as one of IPv6 is what it stands for.
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
        if address.scope_id is not None:  # of a link of the proxy's: it says nothing here
            return None
        return address.ipv4_mapped or address
    return address
