"""Deliveries as a dispatcher sees them: claimed, tried, settled. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.webhooks.states import AttemptResult


@dataclass(frozen=True, slots=True, kw_only=True)
class DueEndpoint:
    """An endpoint for which something is due."""

    endpoint_id: str
    failures: int
    """In a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this process may send until its lease ends, and how."""

    id: str
    message_id: str
    endpoint_id: str
    event: str
    payload: bytes
    attempt: int
    """1, 2, 3 … over all that was ever begun."""
    failures: int
    """Its place in the schedule."""
    url: str
    secrets: tuple[bytes, ...]
    """Sealed; the newest first, then the previous one while it signs, too."""
    endpoint_failing: bool
    """Whether its endpoint's last attempts had failed."""
    is_test: bool = False
    """Tried once, and no sign of the endpoint's health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """What happened when a delivery was sent."""

    result: AttemptResult
    started_at: datetime
    seconds: float
    headers: Mapping[str, str]
    """As they were sent."""
    status_code: int | None = None
    body: bytes | None = None
    """The answer's beginning, where it may be kept."""
    retry_after: float | None = None
    """Seconds that the receiver asks for."""
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedAttempt:
    """An attempt to be written down."""

    claimed: ClaimedDelivery
    attempt: DeliveryAttempt
    pause_seconds: float | None
    """Until the next attempt; None where there is none."""


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
