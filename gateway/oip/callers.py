"""Where a gRPC call comes from, and the key that it carries."""

from __future__ import annotations

from gateway.auth.headers import presented_key
from transport import Call


def host_of(peer: str) -> str:
    """Return the address in `ipv4:host:port` or `ipv6:[host]:port`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")


def key_in(call: Call) -> str | None:
    """Return the key in the call's metadata."""
    headers = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in call.metadata
    }
    return presented_key(headers)
