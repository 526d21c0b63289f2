"""Who stands behind an address, as far as failures are counted."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

_NETWORK_BITS = 64
"""Of an IPv6 address that name a household; the rest is its own choice."""


def client_subnet(address: str) -> str:
    """Return what stands for an address: itself, or the /64 network of IPv6."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(IPv6Network((int(known), _NETWORK_BITS), strict=False))
