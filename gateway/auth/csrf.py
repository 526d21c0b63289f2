"""CSRF protection of console sessions.

A browser sends the session's cookie with requests that any site's page makes. A page of another
site cannot read our responses, so it does not know the session's CSRF token, and it cannot forge
`Sec-Fetch-Site` and `Origin`.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from hashlib import blake2b
from urllib.parse import urlsplit

from gateway.errors import GatewayError
from protos.errors import ErrorCode

HEADER = b"x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that change nothing need no token."""
_SAME_SITE = frozenset({b"same-origin", b"none"})
_DIGEST = 32


def csrf_token(session_token: str) -> str:
    """Return a session's CSRF token: 64 hexadecimal digits, derived from its session token."""
    key = session_token.encode("utf-8", "surrogatepass")[: blake2b.MAX_KEY_SIZE]
    return blake2b(key=key, digest_size=_DIGEST, person=b"csrf").hexdigest()


def check_csrf(
    method: str, headers: Mapping[bytes, bytes], token: str, origins: Collection[str]
) -> None:
    """Raise CSRF_FAILED for an unsafe request that does not prove its origin.

    Names of `headers` are in lower case. `origins` are accepted beside the request's own `Host`.
    """
    if method in SAFE_METHODS:
        return
    check_same_origin(headers, origins)
    given = headers.get(HEADER, b"")
    if not hmac.compare_digest(given, csrf_token(token).encode()):
        got = "another value" if given else "none"
        message = f"X-CSRF-Token: expected the token of GET /node/session/, got {got}"
        raise GatewayError(ErrorCode.CSRF_FAILED, message)


def check_same_origin(headers: Mapping[bytes, bytes], origins: Collection[str]) -> None:
    """Raise CSRF_FAILED if the browser reports that a page of another site sent the request."""
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in _SAME_SITE:
        raise _cross_site_error("Sec-Fetch-Site", site)
    origin = headers.get(b"origin")
    if origin is None:
        return
    text = origin.decode("latin-1").lower()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if text not in origins and (not host or _host_of(text) != host):
        raise _cross_site_error("Origin", origin)


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _cross_site_error(name: str, got: bytes) -> GatewayError:
    shown = got[:200].decode("latin-1")
    message = (
        f"{name}: expected a page of this gateway, got '{shown}': behind a proxy that changes the "
        "host, set SLIPSTREAM_CONSOLE_ORIGINS"
    )
    return GatewayError(ErrorCode.CSRF_FAILED, message)
