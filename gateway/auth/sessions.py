"""Console sessions as the doors of the gateway see them: a cookie, and who stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import cookie_parser

from gateway.auth.identity import Identity

COOKIE = "slipstream_session"
"""Where the request came by plain http."""
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Where it came by TLS: a browser takes it from this very host only, and sends it by TLS only."""


class Sessions(Protocol):
    """Where it is looked up whose session a token is."""

    async def identify(self, token: str) -> Identity:
        """Return whose session it is; raise SESSION_INVALID where it is none, or has ended."""


def session_token(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the token in the `Cookie` header, names being in lower case; None: there is none."""
    header = headers.get(b"cookie")
    if header is None:
        return None
    cookies = cookie_parser(header.decode("latin-1"))
    return cookies.get(SECURE_COOKIE) or cookies.get(COOKIE) or None
