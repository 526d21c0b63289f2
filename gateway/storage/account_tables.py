"""The tables of console sessions and of failed logins."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.clock import now
from gateway.storage.tables import Name, Owned, Table, UtcTime


class ConsoleSession(Owned):
    """A browser that is logged in. The token is stored as a keyed hash."""

    __tablename__ = "console_sessions"
    noun = "session"
    __table_args__ = (Index("ix_console_sessions_page", "profile_id", "created_at", "id"),)

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    """The end of the session, even if it is in use."""
    last_seen_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    """Accurate to the minute."""
    address: Mapped[str | None] = mapped_column(String(64))
    """The client address at login."""
    user_agent: Mapped[str | None] = mapped_column(Name)
    """The browser's User-Agent."""


class LoginFailures(Table):
    """Counts of failed logins in a time window, by e-mail address and by client address."""

    __tablename__ = "login_failures"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    """A keyed hash, because users sometimes type a password into the wrong field."""
    count: Mapped[int] = mapped_column(Integer)
    since: Mapped[datetime] = mapped_column(UtcTime, index=True)
    """When the first of them happened."""
