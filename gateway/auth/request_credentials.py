"""The credentials in a request's headers: an API key, or the cookie of a console session."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import cookie_parser

SESSION_COOKIE = "slipstream_session"
"""For requests by plain HTTP."""
SECURE_SESSION_COOKIE = f"__Host-{SESSION_COOKIE}"
"""For requests by TLS: browsers bind it to this host and send it by TLS only."""
_BEARER = b"bearer "


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key in `X-API-Key` or `Authorization: Bearer`; names are in lower case."""
    key = headers.get(b"x-api-key")
    if key:
        return key.decode("latin-1").strip()
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].decode("latin-1").strip()
    return None


def session_token(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the session token in the `Cookie` header; names are in lower case."""
    header = headers.get(b"cookie")
    if header is None:
        return None
    cookies = cookie_parser(header.decode("latin-1"))
    return cookies.get(SECURE_SESSION_COOKIE) or cookies.get(SESSION_COOKIE) or None
