"""The current time, as the database stores it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC, with its time zone, to the microsecond."""
    return datetime.now(UTC)
