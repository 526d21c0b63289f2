"""Times that requests may name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.storage.clock import UtcDatetime

TIME = TypeAdapter[datetime](UtcDatetime)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "0001-12-31T00:00:00Z",
        "9999-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "yesterday",
    ],
)
def test_a_time_that_not_every_zone_has_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TIME.validate_python(text)


def test_a_time_is_converted_to_utc() -> None:
    assert TIME.validate_python("2026-01-01T01:30:00+02:00") == datetime(
        2025, 12, 31, 23, 30, tzinfo=UTC
    )
    assert TIME.validate_python("9998-12-31T23:59:59-23:59").year == 9999
