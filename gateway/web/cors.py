"""CORS: which pages of other origins may call, and what they may read (the Fetch standard).

Requests carry their key in a header and need no cookie: credentials are never allowed.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.web.problems import Answer, Headers

ANY = b"*"
_ALLOWED_HEADERS = (
    b"X-API-Key, Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, "
    b"X-Request-Timeout, Slipstream-Metadata"
)
_EXPOSED_HEADERS = (
    b"ETag, Location, Retry-After, RateLimit, RateLimit-Policy, Preference-Applied, "
    b"Idempotent-Replayed, X-Request-ID, Response-Format, Server-Timing"
)
_MAX_AGE_SECONDS = b"600"


def cors_headers(origins: Collection[bytes] | None, origin: bytes | None) -> Headers:
    """Return the headers of a response to `origin`, with `Vary` for caches."""
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
        (b"access-control-expose-headers", _EXPOSED_HEADERS),
    ]


def preflight(origins: Collection[bytes] | None, origin: bytes | None, methods: bytes) -> Answer:
    """Return the response to a preflight request; `methods` such as `POST`."""
    granted = cors_headers(origins, origin)
    headers = [(b"vary", b"Origin, Access-Control-Request-Headers")]
    for name, value in granted:
        if name == b"access-control-allow-origin":
            headers += [
                (name, value),
                (b"access-control-allow-methods", methods),
                (b"access-control-allow-headers", _ALLOWED_HEADERS),
                (b"access-control-max-age", _MAX_AGE_SECONDS),
            ]
    return 200, headers, b""
