"""Webhook deliveries that `slipstream webhooks listen` has received."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from gateway.webhooks.verification import FindingOut

_MAX_IDS = 100_000
"""Message ids that are remembered to recognise duplicates."""


class ReceivedDelivery(BaseModel):
    """One request and how it was answered."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: str = "delivery"
    at: str
    """Time of receipt: RFC 3339."""
    id: str | None
    """The `webhook-id`."""
    event: str | None
    flow_run_id: str | None
    attempt: str | None
    """The sender's count. This header is not signed."""
    verified: bool | None
    """None without a secret to verify with."""
    findings: list[FindingOut]
    times: int
    """How often this id was received, including this time."""
    duplicate: bool
    """Whether the id was already accepted: a receiver drops it."""
    after_seconds: float | None
    """From the event's timestamp in the body to its receipt."""
    status: int
    """HTTP status of the answer."""
    note: str | None = None
    """Reason for that answer."""


class ListenerSummary(BaseModel):
    """Totals, printed at the end."""

    kind: str = "summary"
    deliveries: int = 0
    verified: int = 0
    refused: int = 0
    """With an invalid signature."""
    duplicates: int = 0
    failed_on_purpose: int = 0
    events: dict[str, int] = {}
    statuses: dict[str, int] = {}


@dataclass(slots=True)
class _MessageState:
    times: int = 0
    accepted: bool = False


class DeliveryLog:
    """Counts deliveries, and recognises duplicates by their message id."""

    def __init__(self) -> None:
        self._messages: dict[str, _MessageState] = {}
        self._events: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._summary = ListenerSummary()

    def register(self, message_id: str) -> tuple[int, bool]:
        """Count a message id; return its count, and whether it was accepted before."""
        message = self._messages.setdefault(message_id, _MessageState())
        message.times += 1
        while len(self._messages) > _MAX_IDS:
            self._messages.pop(next(iter(self._messages)))
        return message.times, message.accepted

    def add(self, delivery: ReceivedDelivery, *, on_purpose: bool) -> None:
        """Count an answered delivery; a 2xx status accepts its id."""
        accepted = delivery.status // 100 == 2  # noqa: PLR2004 - HTTP's class of successes
        if accepted and delivery.id in self._messages:
            self._messages[delivery.id].accepted = True
        self._summary.deliveries += 1
        self._summary.verified += delivery.verified is True
        self._summary.refused += delivery.verified is False
        self._summary.duplicates += delivery.duplicate
        self._summary.failed_on_purpose += on_purpose
        self._events[delivery.event or "unknown"] += 1
        self._statuses[str(delivery.status)] += 1

    def summary(self) -> ListenerSummary:
        """Return the totals so far."""
        counts = {"events": dict(self._events), "statuses": dict(self._statuses)}
        return self._summary.model_copy(update=counts)
