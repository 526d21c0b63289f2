"""The trail of acts: who did what to which thing, written in the transaction that did it.

Who it is that acts is known at the edge and wanted at the bottom, so it travels beside the call: an
edge sets `ACTOR` once it knows who asks, and every task that serves the request sees it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and from where."""

    profile_id: str | None
    """None: the installation itself."""
    key_id: str | None = None
    """The API key that was used, where one was."""
    session_id: str | None = None
    """The console session, where it was one."""
    address: str | None = None
    """The client's IP address; None for the command line."""


SYSTEM = Actor(profile_id=None)

ACTOR: ContextVar[Actor] = ContextVar("ACTOR", default=SYSTEM)
"""Who acts in the present task."""
