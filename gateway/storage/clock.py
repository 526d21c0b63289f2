"""The time, as the database keeps it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time in UTC, aware, to the microsecond."""
    return datetime.now(UTC)
