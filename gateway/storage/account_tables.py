"""The tables of console sessions, and of log-ins that failed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.clock import now
from gateway.storage.tables import Name, Owned, Table, UtcTime


class ConsoleSession(Owned):
    """A browser that is logged in: a keyed hash of its token, and what tells it from others."""

    __tablename__ = "console_sessions"
    noun = "session"
    __table_args__ = (Index("ix_console_sessions_page", "profile_id", "created_at", "id"),)

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    """However much it is used."""
    last_seen_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    """To the minute."""
    address: Mapped[str | None] = mapped_column(String(64))
    """Where it was logged in from."""
    user_agent: Mapped[str | None] = mapped_column(Name)
    """What the browser calls itself."""


class LoginFailures(Table):
    """Log-ins that failed within a window of time, by e-mail and by address."""

    __tablename__ = "login_failures"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    """A keyed hash: what is typed into the wrong field can be a password."""
    count: Mapped[int] = mapped_column(Integer)
    since: Mapped[datetime] = mapped_column(UtcTime, index=True)
    """When the first of them came."""
