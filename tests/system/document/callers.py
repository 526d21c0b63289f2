"""Callers with every kind of credential: none, a wrong key, each kind of key, a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.system.document.resources import PASSWORD, Resources

OWNER = "manage key of an owner"
_SPARE_SESSIONS = 3
"""Opened before the tests start: later the log-in throttle may block this address."""


@dataclass(frozen=True, slots=True)
class Session:
    """A console session."""

    id: str
    headers: dict[str, str]
    """The headers that a page of the console sends."""

    @classmethod
    def of(cls, cookie: str, body: dict[str, Any]) -> Session:  # Any: JSON
        """Return the session of a log-in response."""
        value = cookie.partition(";")[0]
        return cls(body["session_id"], {"cookie": value, "x-csrf-token": body["csrf_token"]})


@dataclass(slots=True)
class Caller:
    """A client with its credentials, and the resources whose ids it knows."""

    name: str
    resources: Resources
    headers: dict[str, str]
    spare: list[Session] = field(default_factory=list, repr=False)

    def use_session(self, session: Session) -> None:
        """Replace the session, if the caller uses one: the previous one has ended."""
        if self.spare:
            self.headers = session.headers

    def use_spare_session(self) -> None:
        """Replace the session with a spare one."""
        if self.spare:
            self.headers = self.spare.pop().headers


def log_in(url: str, email: str) -> Session:
    """Open a session."""
    answer = httpx.post(f"{url}/node/session/", json={"email": email, "password": PASSWORD})
    assert answer.is_success, answer.text
    return Session.of(answer.headers["set-cookie"], answer.json())


def spare_sessions(url: str, email: str) -> list[Session]:
    """Open the spare sessions."""
    return [log_in(url, email) for _ in range(_SPARE_SESSIONS)]
