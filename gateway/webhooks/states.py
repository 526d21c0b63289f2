"""The states of endpoints and deliveries."""

from __future__ import annotations

from enum import StrEnum


class EndpointState(StrEnum):
    """Whether events are sent."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """Events are held until the endpoint is enabled and they are replayed."""


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    BY_USER = "by_user"
    """By a user."""
    GONE = "gone"
    """The receiver answered 410."""
    FAILING = "failing"
    """It only failed for days."""


class DeliveryStatus(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    """In flight, or waiting for its next attempt."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """Out of attempts, or aborted by the receiver."""
    HELD = "held"
    """The endpoint is disabled; sent only by a replay."""
    SUPERSEDED = "superseded"
    """A `run.started` that was still pending when the run's end was delivered."""
    CANCELLED = "cancelled"
    """The deployment's webhook was removed."""


class AttemptResult(StrEnum):
    """Result of one attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """No 2xx response."""
    THROTTLED = "throttled"
    """429, 502 or 504: the endpoint is paused."""
    BLOCKED = "blocked"
    """The URL points to a blocked address."""
    GONE = "gone"
    """410: the endpoint was disabled."""
    ABORTED = "aborted"
    """The receiver asked to stop retrying this event."""
