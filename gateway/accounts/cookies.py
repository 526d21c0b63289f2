"""The cookie of a console session, as it is set and taken away."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from gateway.auth.sessions import COOKIE, SECURE_COOKIE


def set_cookie(response: Response, token: str, lifetime: timedelta, *, secure: bool) -> None:
    """Give the browser a session: no script reads it, no other site's page makes it be sent."""
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    response.headers["cache-control"] = "no-store"


def clear_cookie(response: Response) -> None:
    """Take the session away from the browser, by either name."""
    for name in (COOKIE, SECURE_COOKIE):
        response.delete_cookie(
            name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="strict"
        )
