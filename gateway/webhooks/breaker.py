"""The breaker of an endpoint: how long nothing is sent after how many failures in a row. Pure."""

from __future__ import annotations

THRESHOLD = 10
"""Failures in a row after which an endpoint gets one attempt at a time, with pauses."""
_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 300.0
_THROTTLED_SECONDS = 1.0
_LONGEST_THROTTLED_SECONDS = 60.0
_MOST_RETRY_AFTER_SECONDS = 3600.0
_DOUBLINGS = 10


def endpoint_pause(failures: int, *, throttled: bool, retry_after: float | None) -> float | None:
    """Return the seconds for which nothing is sent after `failures` in a row; None: go on at once.

    A receiver that throttles is left alone at once, for as long as it asks, within an hour.
    """
    pause = 0.0
    if throttled:
        pause = _doubled(_THROTTLED_SECONDS, failures - 1, _LONGEST_THROTTLED_SECONDS)
        pause = max(pause, min(retry_after or 0.0, _MOST_RETRY_AFTER_SECONDS))
    if failures >= THRESHOLD:
        pause = max(pause, _doubled(_FIRST_SECONDS, failures - THRESHOLD, _LONGEST_SECONDS))
    return pause or None


def is_open(failures: int) -> bool:
    """Whether only one attempt at a time may be made, to see if the receiver is back."""
    return failures >= THRESHOLD


def _doubled(first: float, times: int, most: float) -> float:
    return min(most, first * 2.0 ** min(max(0, times), _DOUBLINGS))
