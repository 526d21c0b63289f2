"""The tables of usage: calls per minute, and per day once the minutes are old.

Primary keys begin with the time: rows are added at one end, and compacted and deleted at the
other. There are no foreign keys: usage outlives its key and its deployment.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Table, UtcTime, Word


class UsageRow(Table):
    """Usage of one deployment version by one key in one period."""

    __abstract__ = True

    began_at: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    """The start of the period: a whole minute, or midnight UTC."""
    deployment_id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(Id, primary_key=True)
    """Empty: no key; `other`: all keys beyond the number that is counted separately."""
    profile_id: Mapped[str] = mapped_column(Id)
    calls: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    """Calls answered with an error."""
    runs: Mapped[int] = mapped_column(BigInteger)
    """Sync and async runs that have ended."""
    run_errors: Mapped[int] = mapped_column(BigInteger)
    """Runs that ended without a result."""
    detail: Mapped[bytes] = mapped_column(LargeBinary)
    """Errors by code, and durations by stage, as `gateway/usage/counts.py` packs them."""


class UsageMinute(UsageRow):
    """One minute as counted by one process. Readers sum over the sources.

    A process overwrites its own row of the minute, so a write whose outcome is unknown can be
    repeated, and processes do not wait for each other.
    """

    __tablename__ = "usage_minutes"
    __table_args__ = (
        Index("ix_usage_minutes_profile", "profile_id", "began_at"),
        Index("ix_usage_minutes_deployment", "deployment_id", "began_at", "calls", "errors"),
    )

    source: Mapped[str] = mapped_column(Word, primary_key=True)
    """A name unique to the process; `runs` for counts taken from the rows of runs."""


class UsageDay(UsageRow):
    """One day, of all sources."""

    __tablename__ = "usage_days"
    __table_args__ = (Index("ix_usage_days_profile", "profile_id", "began_at"),)


class UsageMark(Table):
    """One row: the last run that was counted, in order of `finished_at`."""

    __tablename__ = "usage_marks"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    finished_at: Mapped[datetime] = mapped_column(UtcTime)
    run_id: Mapped[str] = mapped_column(Id)
