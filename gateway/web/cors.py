"""Pages of other origins: which may call, and what they may see (the Fetch standard).

A request that carries a key in a header needs no cookie: credentials are never allowed.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.web.problems import Answer, Headers

ANY = b"*"
_MAY_SEND = b"X-API-Key, Authorization, Content-Type, Idempotency-Key, Prefer, X-Request-Timeout"
_MAY_READ = (
    b"Location, Retry-After, RateLimit, RateLimit-Policy, Preference-Applied, Idempotent-Replayed, "
    b"X-Request-ID, Server-Timing"
)
_KEPT_SECONDS = b"600"


def cors_headers(origins: Collection[bytes] | None, origin: bytes | None) -> Headers:
    """Return the headers of an answer to `origin`; caches are told that it depends on it."""
    if not origins:
        return []
    if ANY in origins:
        allowed = ANY
    elif origin in origins:
        allowed = origin or b""
    else:
        return [(b"vary", b"Origin")]
    return [
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", allowed),
        (b"access-control-expose-headers", _MAY_READ),
    ]


def preflight(origins: Collection[bytes] | None, origin: bytes | None, methods: bytes) -> Answer:
    """Return the answer to a browser that asks before it sends; `methods` such as `POST`."""
    granted = cors_headers(origins, origin)
    headers = [(b"vary", b"Origin, Access-Control-Request-Headers")]
    for name, value in granted:
        if name == b"access-control-allow-origin":
            headers += [
                (name, value),
                (b"access-control-allow-methods", methods),
                (b"access-control-allow-headers", _MAY_SEND),
                (b"access-control-max-age", _KEPT_SECONDS),
            ]
    return 200, headers, b""
