"""The tables of usage: what was called, minute by minute, and day by day once that is old.

The primary keys begin with the time: rows are added at one end, and compacted and deleted at the
other. No foreign keys: numbers outlive the key, and the deployment, that they are about.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Table, UtcTime, Word


class UsageRow(Table):
    """What happened to one version of a deployment with one key, in one span of time."""

    __abstract__ = True

    began_at: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    """The span's beginning: a whole minute, or midnight UTC."""
    deployment_id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(Id, primary_key=True)
    """Empty where no key was used; `other` for all keys beyond those that are told apart."""
    profile_id: Mapped[str] = mapped_column(Id)
    calls: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    """Calls that were answered with an error."""
    runs: Mapped[int] = mapped_column(BigInteger)
    """Sync and async runs that have ended."""
    run_errors: Mapped[int] = mapped_column(BigInteger)
    """Runs that ended without a result."""
    detail: Mapped[bytes] = mapped_column(LargeBinary)
    """Errors by code, and durations by stage, as `gateway/usage/counts.py` packs them."""


class UsageMinute(UsageRow):
    """A minute, as one process has counted it. Whoever reads adds the sources up.

    A process writes its own row of a minute again and again, whole: to write it twice does no harm,
    so that a write whose outcome is unknown can be repeated, and processes never wait for each
    other.
    """

    __tablename__ = "usage_minutes"
    __table_args__ = (Index("ix_usage_minutes_profile", "profile_id", "began_at"),)

    source: Mapped[str] = mapped_column(Word, primary_key=True)
    """A name that no other process has, or ever had; `runs` for what the rows of runs say."""


class UsageDay(UsageRow):
    """A day, of all sources."""

    __tablename__ = "usage_days"
    __table_args__ = (Index("ix_usage_days_profile", "profile_id", "began_at"),)


class UsageMark(Table):
    """One row: the last run that has been counted, by the time at which it ended."""

    __tablename__ = "usage_marks"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    finished_at: Mapped[datetime] = mapped_column(UtcTime)
    run_id: Mapped[str] = mapped_column(Id)
