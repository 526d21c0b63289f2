"""What RFC 9112 says of a request's head: its target, and lines that it must have once at most."""

from __future__ import annotations

import re

from gateway.errors import GatewayError
from gateway.web.problems import Headers
from protos.errors import ErrorCode

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]*)?")
"""`host[:port]` of RFC 3986, without userinfo, and without the comma that joins two lines."""


def check_target(method: bytes, target: bytes) -> None:
    """Check that `*` stands for the whole server only where it may (RFC 9112 section 3.2.4).

    Raises:
        GatewayError: INVALID_REQUEST.
    """
    if target.startswith(b"*") and (method != b"OPTIONS" or target != b"*"):
        shown = f"{method.decode('latin-1')} {target.decode('latin-1')[:80]}"
        raise _invalid(f"the target: expected a path such as /livez, got '{shown}'")


def check_single_lines(lines: Headers, *, needs_host: bool) -> None:
    """Check the lines of `Host` (RFC 9112 section 3.2) and `X-API-Key`; names are in lower case.

    Two programs that read different ones of two lines would disagree on whose request it is.

    Args:
        lines: all header lines of a request.
        needs_host: whether it is HTTP/1.1, where `Host` must not be missing.

    Raises:
        GatewayError: INVALID_REQUEST.
    """
    hosts = [value for name, value in lines if name == b"host"]
    if len(hosts) > 1 or (needs_host and not hosts):
        raise _invalid(f"Host: expected one header line, got {len(hosts)}")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _invalid(f"Host: expected host or host:port, got '{hosts[0].decode('latin-1')[:80]}'")
    keys = sum(name == b"x-api-key" for name, _ in lines)
    if keys > 1:
        raise _invalid(f"X-API-Key: expected one header line, got {keys}")


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
