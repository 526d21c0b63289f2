"""Where a server listens: `unix:/path`, `host:port`, or `grpcs://host:port` with TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TLS_SCHEME = "grpcs://"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address; either `path` or `host` and `port` are set."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False

    @property
    def authority(self) -> str:
        """What `:authority` says of it."""
        return "localhost" if self.path else f"{_bracketed(self.host)}:{self.port}"


def parse_address(text: str) -> Address:
    """Return what `unix:/path`, `host:port` or `[v6]:port` names, the last two also with TLS.

    Raises:
        ValueError: none of them.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path[2:] if path.startswith("//") else path
        if path:
            return Address(path=path)
    else:
        host, _, port = text.removeprefix(TLS_SCHEME).rpartition(":")
        if host and port.isdecimal() and int(port) < 2**16:
            bare = host.removeprefix("[").removesuffix("]")
            return Address(host=bare, port=int(port), tls=text.startswith(TLS_SCHEME))
    message = f"address {text!r}: expected unix:/path, host:port or [v6]:port"
    raise ValueError(f"{message}, the last two with or without {TLS_SCHEME}")


def peer_name(name: Any) -> str:  # Any: what a socket says differs by its family
    """Return the peer of a socket, as gRPC writes it."""
    if not isinstance(name, tuple):
        return "unix:"
    host, port = name[0], name[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
