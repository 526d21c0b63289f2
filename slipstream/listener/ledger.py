"""What has come, what was had before, and the sum of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from gateway.webhooks.verdict_schemas import FindingOut

_REMEMBERED = 100_000


class Arrival(BaseModel):
    """One request, and what was made of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: str = "delivery"
    at: str
    """When it came: RFC 3339."""
    id: str | None
    """The `webhook-id`."""
    event: str | None
    flow_run_id: str | None
    attempt: str | None
    """As the sender counts: this header is not signed."""
    verified: bool | None
    """None where there is no secret to verify with."""
    findings: list[FindingOut]
    times: int
    """How often this id has come, this time included."""
    duplicate: bool
    """Whether it was taken already: a receiver drops it."""
    after_seconds: float | None
    """Between what happened and this arrival, by the body's timestamp."""
    status: int
    """What it was answered."""
    note: str | None = None
    """Why it was answered so."""


class Summary(BaseModel):
    """All that has come."""

    kind: str = "summary"
    deliveries: int = 0
    verified: int = 0
    refused: int = 0
    """Signature not good."""
    duplicates: int = 0
    failed_on_purpose: int = 0
    events: dict[str, int] = {}
    statuses: dict[str, int] = {}


@dataclass(slots=True)
class _Known:
    times: int = 0
    taken: bool = False


class Ledger:
    """Remembers ids and counts."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._events: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._sum = Summary()

    def seen(self, message_id: str) -> tuple[int, bool]:
        """Note that an id has come; return how often by now, and whether it was taken already."""
        known = self._known.setdefault(message_id, _Known())
        known.times += 1
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return known.times, known.taken

    def note(self, arrival: Arrival, *, on_purpose: bool) -> None:
        """Count what was answered; what was answered 2xx is taken."""
        taken = arrival.status // 100 == 2  # noqa: PLR2004 - HTTP's class of successes
        if taken and arrival.id in self._known:
            self._known[arrival.id].taken = True
        self._sum.deliveries += 1
        self._sum.verified += arrival.verified is True
        self._sum.refused += arrival.verified is False
        self._sum.duplicates += arrival.duplicate
        self._sum.failed_on_purpose += on_purpose
        self._events[arrival.event or "unknown"] += 1
        self._statuses[str(arrival.status)] += 1

    def summary(self) -> Summary:
        """Return the sum so far."""
        counted = {"events": dict(self._events), "statuses": dict(self._statuses)}
        return self._sum.model_copy(update=counted)
