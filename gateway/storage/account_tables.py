"""The tables of console sessions, failed logins, set-up links and invitations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.clock import now
from gateway.storage.tables import Id, Name, Owned, Table, UtcTime


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


class SetupToken(Table):
    """The token of the set-up link that a host has printed, as a keyed hash."""

    __tablename__ = "setup_tokens"

    host_id: Mapped[str] = mapped_column(
        Id, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True
    )
    """The link is valid while this host has its lease."""
    token_hash: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class Invitation(Table):
    """The token of a user's invitation link, as a keyed hash; a user has one at most."""

    __tablename__ = "invitations"

    profile_id: Mapped[str] = mapped_column(
        Id, ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True
    )
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
