"""The tables of watched deployments: whose next calls a page waits for, and those calls."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.clock import now
from gateway.storage.tables import Id, Json, Table, UtcTime


class CallWatch(Table):
    """The watch of a deployment. It ends at a time, or after a number of calls."""

    __tablename__ = "call_watches"
    __table_args__ = (Index("ix_call_watches_profile_id_expires_at", "profile_id", "expires_at"),)

    deployment_id: Mapped[str] = mapped_column(
        Id, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True
    )
    profile_id: Mapped[str] = mapped_column(Id)
    """The deployment's owner."""
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    last_number: Mapped[int] = mapped_column(Integer, default=0)
    """Of the last call that was reported, through all watches of the deployment."""
    until_number: Mapped[int] = mapped_column(Integer)
    """The number of the last call that this watch reports."""


class WatchedCall(Table):
    """One call of a watched deployment, kept for a moment, so that every gateway can show it."""

    __tablename__ = "watched_calls"
    __table_args__ = (Index("ix_watched_calls_profile_id_created_at", "profile_id", "created_at"),)

    deployment_id: Mapped[str] = mapped_column(
        Id, ForeignKey("call_watches.deployment_id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    profile_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    report: Mapped[Json] = mapped_column(JSON)
    """What streams send of it; a key only as its mask."""
