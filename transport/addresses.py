"""Addresses of servers: `unix:/path`, `host:port`, or `grpcs://host:port` for TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TLS_SCHEME = "grpcs://"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A parsed address: either `path`, or `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False

    @property
    def authority(self) -> str:
        """The value of the `:authority` header."""
        return "localhost" if self.path else f"{_bracketed(self.host)}:{self.port}"


def parse_address(text: str) -> ServerAddress:
    """Parse `unix:/path`, `host:port` or `[v6]:port`; the last two may follow `grpcs://`.

    Raises:
        ValueError: it is none of them.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path[2:] if path.startswith("//") else path
        if path:
            return ServerAddress(path=path)
    else:
        host, _, port = text.removeprefix(TLS_SCHEME).rpartition(":")
        if host and port.isdecimal() and int(port) < 2**16:
            host = host.removeprefix("[").removesuffix("]")
            return ServerAddress(host=host, port=int(port), tls=text.startswith(TLS_SCHEME))
    message = f"address {text!r}: expected unix:/path, host:port or [v6]:port"
    raise ValueError(f"{message}; the last two may follow {TLS_SCHEME}")


def peer_name(name: Any) -> str:  # Any: depends on the address family
    """Return the peer of a socket in gRPC's notation."""
    if not isinstance(name, tuple):
        return "unix:"
    host, port = name[0], name[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
