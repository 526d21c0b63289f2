"""Deliveries in a dispatcher: due, claimed, attempted. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.webhooks.states import AttemptResult
from telemetry.trace_context import TraceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class DueEndpoint:
    """An endpoint with due deliveries."""

    endpoint_id: str
    failures: int
    """Consecutive failed attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this process may send until its lease expires."""

    id: str
    message_id: str
    endpoint_id: str
    deployment_id: str
    created_at: datetime
    """When its event happened."""
    delivered_before: bool
    """Whether it has arrived already, and is replayed."""
    event: str
    payload: bytes
    attempt: int
    """1, 2, 3 … over all attempts ever started, also before a replay."""
    failures: int
    """Failed attempts, its position in the schedule."""
    url: str
    secrets: tuple[bytes, ...]
    """Encrypted; the newest first, then the previous one during the overlap after a rotation."""
    endpoint_failing: bool
    """Whether its endpoint's last attempt had failed."""
    trace: TraceContext | None = None
    """Of the span of this attempt; None: it is not traced."""
    is_test: bool = False
    """Sent once, and not counted in the endpoint's health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """The result of sending a delivery once."""

    result: AttemptResult
    started_at: datetime
    seconds: float
    headers: Mapping[str, str]
    """Of the request."""
    status_code: int | None = None
    body: bytes | None = None
    """The start of the response, if it may be stored."""
    retry_after: float | None = None
    """Seconds from the Retry-After header."""
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedAttempt:
    """An attempt to be recorded."""

    claimed: ClaimedDelivery
    attempt: DeliveryAttempt
    pause_seconds: float | None
    """Until the next attempt; None if there is none."""


# Any: the columns of ATTEMPTS
def attempt_values(settled: CompletedAttempt) -> dict[str, Any]:
    """Return the attempt's row."""
    claimed, attempt = settled.claimed, settled.attempt
    return {
        "delivery_id": claimed.id,
        "number": claimed.attempt,
        "endpoint_id": claimed.endpoint_id,
        "started_at": attempt.started_at,
        "seconds": attempt.seconds,
        "result": attempt.result,
        "url": claimed.url,
        "request_headers": dict(attempt.headers),
        "status_code": attempt.status_code,
        "response_body": attempt.body,
        "error_code": attempt.error_code,
        "error_message": attempt.error_message,
    }
