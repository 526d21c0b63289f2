"""Which IP addresses may be called on behalf of users. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = frozenset({80, 443, 8443})
"""Allowed on the public internet. In the operator's allowed networks any port is."""

_METADATA: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # nearly every cloud
        "fe80::/10",  # the same by IPv6
        "fd00:ec2::254/128",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle
    )
)
"""Metadata services, which give credentials to any client: blocked, whatever is allowed."""
METADATA_NAMES = frozenset({"metadata.google.internal", "metadata"})

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_IPV4_MASK = 0xFFFF_FFFF
_LOCAL = 1
"""`::1` looks like an embedded IPv4 address but is not one."""


def block_reason(address: Address, port: int, allowed: Sequence[Network]) -> str | None:
    """Return why `address` and `port` are blocked; None if they are allowed.

    `allowed` are the operator's networks: private addresses in them are allowed, at every port.
    """
    inner = embedded_ipv4(address)
    if any(_within(form, _METADATA) for form in (address, inner) if form is not None):
        return "it is a cloud's metadata service, which has credentials"
    judged = address if inner is None else inner
    if _within(judged, allowed):
        return None
    if not is_public(judged):
        return "it is not on the public internet, and not in SLIPSTREAM_WEBHOOK_ALLOW"
    if port not in PORTS:
        ports = ", ".join(str(number) for number in sorted(PORTS))
        return f"port {port} is not one of {ports}, nor its network in SLIPSTREAM_WEBHOOK_ALLOW"
    return None


def is_public(address: Address) -> bool:
    """Return whether the address is routed on the internet, and not multicast or reserved."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address embedded in an IPv6 one; None if there is none.

    Mapped (`::ffff:…`), compatible (`::…`), 6to4 (`2002:…`), Teredo (the client's), NAT64.
    """
    if isinstance(address, IPv4Address):
        return None
    if address.teredo is not None:
        return address.teredo[1]
    last = int(address) & _IPV4_MASK
    compatible = address in _COMPATIBLE and last > _LOCAL
    if compatible or address in _NAT64 or address in _NAT64_LOCAL:
        return IPv4Address(last)
    return address.ipv4_mapped or address.sixtofour


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
