"""The unit by which clients are limited: an address, or the network that one customer has."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

_SUBNET_BITS = 64
"""Prefix that a provider assigns to one IPv6 customer."""


def client_subnet(address: str) -> str:
    """Return what a client is counted by: an IPv4 address, or the /64 network of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _SUBNET_BITS), strict=False))
