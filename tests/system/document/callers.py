"""Everybody who may knock: without anything, with a wrong key, with each key, with a session."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from tests.system.document.things import PASSWORD, Things

SESSION = "session of an owner"
CALLERS = (
    "nobody",
    "wrong key",
    "trigger key",
    "manage key of an owner",
    "manage key of a member",
    SESSION,
)
_SPARE_SESSIONS = 24
"""Opened before anything knocks: later the throttle of logins turns this address away."""


@dataclass(slots=True)
class Caller:
    """Somebody, and the things whose ids are known to them."""

    name: str
    things: Things
    headers: dict[str, str] = field(default_factory=dict)
    spare: list[dict[str, str]] = field(default_factory=list)
    """Further sessions' headers."""

    def succeeded(self, operation: str) -> None:
        """Go on with another session where the present one has ended with that."""
        if self.spare and operation in ("log_in", "log_out"):
            self.headers = self.spare.pop()


def session_of(url: str, email: str) -> dict[str, str]:
    """Log in; return what a page of the console sends from then on."""
    with httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post("/node/session/", json={"email": email, "password": PASSWORD})
        assert answer.is_success, answer.text
        return {
            "cookie": f"slipstream_session={client.cookies['slipstream_session']}",
            "x-csrf-token": answer.json()["csrf_token"],
        }


def spare_sessions(url: str, email: str) -> list[dict[str, str]]:
    """Return sessions to go on with."""
    return [session_of(url, email) for _ in range(_SPARE_SESSIONS)]
