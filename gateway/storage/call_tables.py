"""The table of calls that failed or took long, which are kept for a while to be looked up.

There are no foreign keys: rows are written in the background, and end by themselves.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Json, Name, Table, UtcTime, Word


class CallRow(Table):
    """One answered call of a deployment, without its input and its output."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_request_id", "request_id", "id"),
        Index("ix_calls_profile_id", "profile_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    """That of its run, where it has one. Ids begin with the time (`gateway.ids.new_run_id`)."""
    profile_id: Mapped[str] = mapped_column(Id)
    """The deployment's owner."""
    request_id: Mapped[str] = mapped_column(String(128))
    deployment_id: Mapped[str] = mapped_column(Id)
    version: Mapped[int | None] = mapped_column(Integer)
    """NULL, as `mode`: it was refused before its deployment was known."""
    mode: Mapped[str | None] = mapped_column(Word)
    key_id: Mapped[str | None] = mapped_column(Id)
    status: Mapped[int] = mapped_column(Integer)
    """Of HTTP."""
    code: Mapped[str | None] = mapped_column(Word)
    """The error's; NULL: it has succeeded."""
    began_at: Mapped[datetime] = mapped_column(UtcTime)
    """When its last header had arrived, by the clock of its gateway."""
    seconds: Mapped[float] = mapped_column(Float)
    phases: Mapped[Json] = mapped_column(JSON)
    """Milliseconds by phase, as far as they were measured."""
    trace_id: Mapped[str | None] = mapped_column(String(32))
    gateway: Mapped[str] = mapped_column(Name)
    """The process that answered it: `gateway-4711@host`."""
