"""Times as the database stores them: in UTC, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

_MIN_YEAR, _MAX_YEAR = 2, 9998


def now() -> datetime:
    """Return the current time in UTC, with its time zone, to the microsecond."""
    return datetime.now(UTC)


def _in_utc(value: datetime) -> datetime:
    # A year less at both ends: a database may convert a time to its own zone
    if not _MIN_YEAR <= value.year <= _MAX_YEAR:
        raise ValueError(f"expected a year from {_MIN_YEAR} to {_MAX_YEAR}, got {value.year}")
    return value.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, as given; converted to UTC."""
