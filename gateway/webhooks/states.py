"""The states of endpoints and deliveries."""

from __future__ import annotations

from enum import StrEnum


class EndpointState(StrEnum):
    """Whether anything is sent."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """Events are kept until somebody enables it, and has them sent."""


class DisabledReason(StrEnum):
    """Who has disabled an endpoint."""

    BY_USER = "by_user"
    """A person."""
    GONE = "gone"
    """The receiver: it answered 410."""
    FAILING = "failing"
    """We: nothing but failures for days."""


class DeliveryStatus(StrEnum):
    """How far an event is on its way."""

    PENDING = "pending"
    """It is being sent, or waits for its next attempt."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """No attempt is left, or the receiver wants none."""
    HELD = "held"
    """The endpoint is disabled; nothing is sent until somebody says so."""
    SUPERSEDED = "superseded"
    """A `run.started` that had not got through when the run's end had."""
    CANCELLED = "cancelled"
    """The deployment has no webhook any more."""


class AttemptResult(StrEnum):
    """How one attempt went."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Another status than 2xx, or no answer."""
    THROTTLED = "throttled"
    """429, 502 or 504: everything for this endpoint waits a while."""
    BLOCKED = "blocked"
    """The URL points to where nothing may be sent."""
    GONE = "gone"
    """410: the endpoint was disabled."""
    ABORTED = "aborted"
    """The receiver does not want this event any more."""
