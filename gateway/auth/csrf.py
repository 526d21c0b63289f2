"""Whether a request with a session's cookie was sent by our own pages. Pure.

A browser sends the cookie with whatever any page makes it ask. What another page cannot do is read
our answers, so it does not know the token that a session's page was told; and it cannot lie about
where it comes from (`Sec-Fetch-Site`, `Origin`).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from hashlib import blake2b
from urllib.parse import urlsplit

from gateway.errors import GatewayError
from protos.errors import ErrorCode

HEADER = b"x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SAME_SITE = frozenset({b"same-origin", b"none"})
_DIGEST = 32


def csrf_token(session_token: str) -> str:
    """Return the token that belongs to a session: 64 hexadecimal digits, made of its own token."""
    key = session_token.encode("utf-8", "surrogatepass")[: blake2b.MAX_KEY_SIZE]
    return blake2b(key=key, digest_size=_DIGEST, person=b"csrf").hexdigest()


def check_csrf(
    method: str, headers: Mapping[bytes, bytes], token: str, origins: Collection[str]
) -> None:
    """Return where the request changes nothing, or proves to be ours; else raise CSRF_FAILED.

    `headers` are by lower-case name; `origins` are those that count as ours beside the request's
    own `Host`.
    """
    if method in _SAFE:
        return
    check_same_origin(headers, origins)
    given = headers.get(HEADER, b"")
    if not hmac.compare_digest(given, csrf_token(token).encode()):
        got = "another one" if given else "none"
        message = f"X-CSRF-Token: expected the token of GET /node/session/, got {got}"
        raise GatewayError(ErrorCode.CSRF_FAILED, message)


def check_same_origin(headers: Mapping[bytes, bytes], origins: Collection[str]) -> None:
    """Raise CSRF_FAILED where the browser says that another site's page sends this request."""
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
        f"{name}: expected a page of this gateway, got '{shown}': where a proxy stands between, "
        "set SLIPSTREAM_CONSOLE_ORIGINS"
    )
    return GatewayError(ErrorCode.CSRF_FAILED, message)
