"""When a delivery is tried again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_JITTER = 0.2
"""A pause is up to this share longer, so that what failed together does not come back together."""
_MOST_RETRY_AFTER_SECONDS = 86_400.0


def retry_pause(
    failures: int, schedule: Sequence[float], *, retry_after: float | None = None
) -> float | None:
    """Return the seconds until the next attempt after so many failed ones; None: there is none.

    `schedule` has the pause before each attempt, the first one included. A receiver's own
    `retry_after` makes it longer, never shorter.
    """
    if failures >= len(schedule):
        return None
    pause = schedule[failures] * (1 + _JITTER * random.random())  # noqa: S311 - no secret
    return max(pause, min(retry_after or 0.0, _MOST_RETRY_AFTER_SECONDS))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, whichever form it has; None: none."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MOST_RETRY_AFTER_SECONDS)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), _MOST_RETRY_AFTER_SECONDS)
