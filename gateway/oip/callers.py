"""Where a gRPC call comes from, and the key that it carries."""

from __future__ import annotations

from gateway.auth.headers import presented_key
from gateway.auth.proxies import TrustedProxies
from transport import ServerStream


def client_address(call: ServerStream, proxies: TrustedProxies) -> str:
    """Return the address that a call comes from; proxies say theirs in metadata, as at REST."""
    return proxies.client(peer_host(call.peer), _headers(call))


def peer_host(peer: str) -> str:
    """Return the address in `ipv4:host:port` or `ipv6:[host]:port`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")


def api_key_of(call: ServerStream) -> str | None:
    """Return the key in the call's metadata."""
    return presented_key(dict(_headers(call)))


def _headers(call: ServerStream) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in call.metadata
    ]
