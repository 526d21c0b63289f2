"""When a delivery is retried and when an endpoint is paused."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from gateway.settings import Settings
from gateway.webhooks.delivery_sender import classify_response
from gateway.webhooks.retry_policy import (
    CIRCUIT_THRESHOLD,
    endpoint_pause,
    is_circuit_open,
    parse_retry_after,
    retry_pause,
)
from gateway.webhooks.states import AttemptResult

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_there_are_ten_attempts_over_76_hours() -> None:
    schedule = Settings().webhook_schedule_seconds
    pauses = [retry_pause(failures, schedule) for failures in range(11)]
    assert pauses[10] is None
    for pause, written in zip(pauses[:10], schedule, strict=True):
        assert pause is not None
        assert written <= pause <= 1.2 * written
    hours = sum(schedule) / 3600
    assert 75.5 < hours < 75.6


def test_pauses_have_jitter() -> None:
    assert len({retry_pause(1, (0.0, 100.0)) for _ in range(20)}) > 1


def test_retry_after_can_lengthen_a_pause_but_not_shorten_it() -> None:
    assert retry_pause(1, (0.0, 5.0), retry_after=60.0) == 60.0
    assert (retry_pause(1, (0.0, 5.0), retry_after=1.0) or 0.0) >= 5.0
    assert retry_pause(1, (0.0, 5.0), retry_after=1e9) == 86_400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("99999999999", 86_400.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("²", None),
    ],
)
def test_retry_after_accepts_seconds_and_dates(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, THEN) == seconds


def pause(failures: int, *, recent: bool) -> float | None:
    """Return the pause of a receiver that does not throttle."""
    return endpoint_pause(failures, recent=recent, throttled=False, retry_after=None)


@pytest.mark.parametrize(("recent", "seconds"), [(True, 5.0), (False, 300.0)])
def test_the_breaker_opens_after_ten_failures_and_its_pauses_are_short_at_first(
    seconds: float, *, recent: bool
) -> None:
    assert not is_circuit_open(CIRCUIT_THRESHOLD - 1)
    assert pause(CIRCUIT_THRESHOLD - 1, recent=recent) is None
    assert is_circuit_open(CIRCUIT_THRESHOLD)
    assert pause(CIRCUIT_THRESHOLD, recent=recent) == seconds
    assert pause(CIRCUIT_THRESHOLD + 1000, recent=recent) == seconds


def test_a_throttling_receiver_opens_the_breaker_at_once() -> None:
    throttled = partial(endpoint_pause, recent=True, throttled=True)
    assert throttled(1, retry_after=None) == 1.0
    assert throttled(2, retry_after=None) == 2.0
    assert throttled(1, retry_after=30.0) == 30.0
    assert throttled(1, retry_after=1e9) == 3600.0


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, AttemptResult.DELIVERED),
        (204, AttemptResult.DELIVERED),
        (301, AttemptResult.FAILED),
        (304, AttemptResult.FAILED),
        (400, AttemptResult.FAILED),
        (410, AttemptResult.GONE),
        (429, AttemptResult.THROTTLED),
        (500, AttemptResult.FAILED),
        (502, AttemptResult.THROTTLED),
        (503, AttemptResult.FAILED),
        (504, AttemptResult.THROTTLED),
    ],
)
def test_only_2xx_is_a_success(status: int, result: AttemptResult) -> None:
    assert classify_response(status, {}) is result


def test_a_receiver_can_abort_the_retries_of_an_event() -> None:
    headers = {"webhook-delivery": "abort-message"}
    assert classify_response(500, headers) is AttemptResult.ABORTED
    assert classify_response(200, headers) is AttemptResult.DELIVERED
