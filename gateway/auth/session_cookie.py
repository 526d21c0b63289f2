"""The cookie of a console session in a request's headers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import cookie_parser

SESSION_COOKIE = "slipstream_session"
"""For requests by plain HTTP."""
SECURE_SESSION_COOKIE = f"__Host-{SESSION_COOKIE}"
"""For requests by TLS: browsers bind it to this host and send it by TLS only."""


def session_token(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the session token in the `Cookie` header; names are in lower case."""
    header = headers.get(b"cookie")
    if header is None:
        return None
    cookies = cookie_parser(header.decode("latin-1"))
    return cookies.get(SECURE_SESSION_COOKIE) or cookies.get(SESSION_COOKIE) or None
