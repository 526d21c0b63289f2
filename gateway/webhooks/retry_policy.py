"""When a failed delivery is sent again, and how long a failing endpoint is left alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

CIRCUIT_THRESHOLD = 10
"""Consecutive failures that open an endpoint's circuit: one attempt at a time, with pauses."""
_JITTER = 0.2
"""Share of a pause that is added at random: what failed together is not retried together."""
_MAX_RETRY_AFTER_SECONDS = 86_400.0
FIRST_SECONDS = 600.0
"""How long an endpoint that fails is tried often: while its receiver is being set up, or starts."""
_FIRST_OPEN_SECONDS, _OPEN_SECONDS = 5.0, 300.0
"""The pause between attempts where the circuit is open, in these first seconds and after them."""
_THROTTLED_SECONDS, _MAX_THROTTLED_SECONDS = 1.0, 60.0
_MAX_THROTTLED_RETRY_AFTER_SECONDS = 3600.0
_MAX_DOUBLINGS = 10


def retry_pause(
    failures: int, schedule: Sequence[float], *, retry_after: float | None = None
) -> float | None:
    """Return the seconds until a delivery is sent again after `failures` attempts; None: never.

    `schedule` has the pause before each attempt, the first included. The receiver's `retry_after`
    can only lengthen it.
    """
    if failures >= len(schedule):
        return None
    pause = schedule[failures] * (1 + _JITTER * random.random())  # nosec B311 # no secret
    return max(pause, min(retry_after or 0.0, _MAX_RETRY_AFTER_SECONDS))


def endpoint_pause(
    failures: int, *, recent: bool, throttled: bool, retry_after: float | None
) -> float | None:
    """Return the seconds for which an endpoint is sent nothing after consecutive failures.

    None: it is sent to at once. A receiver that throttles is left alone for as long as it asks,
    within an hour. `recent`: it has failed for less than FIRST_SECONDS.
    """
    pause = 0.0
    if throttled:
        pause = _doubled(_THROTTLED_SECONDS, failures - 1, _MAX_THROTTLED_SECONDS)
        pause = max(pause, min(retry_after or 0.0, _MAX_THROTTLED_RETRY_AFTER_SECONDS))
    if failures >= CIRCUIT_THRESHOLD:
        pause = max(pause, _FIRST_OPEN_SECONDS if recent else _OPEN_SECONDS)
    return pause or None


def is_circuit_open(failures: int) -> bool:
    """Return whether only one attempt at a time is made, to see if the receiver has recovered."""
    return failures >= CIRCUIT_THRESHOLD


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds in a Retry-After header, of either form; None if there are none."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER_SECONDS)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), _MAX_RETRY_AFTER_SECONDS)


def _doubled(first: float, times: int, maximum: float) -> float:
    return min(maximum, first * 2.0 ** min(max(0, times), _MAX_DOUBLINGS))
