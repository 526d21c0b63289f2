"""What a stream can be about, and one item of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Topic(StrEnum):
    """A kind of resource whose changes are sent."""

    FLOWS = "flows"
    DEPLOYMENTS = "deployments"
    RUNS = "runs"
    MODELS = "models"
    SERVERS = "servers"
    KEYS = "keys"
    DELIVERIES = "deliveries"
    CALLS = "calls"
    REHEARSALS = "rehearsals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One change."""

    topic: Topic
    id: str | None
    """Of the resource; None: of the topic something has changed, or too much to name."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """What is known of it beside its id, such as the status of a run."""

    def shown(self) -> dict[str, object]:
        """Return it as streams send it."""
        return {"topic": self.topic.value, "id": self.id, **self.fields}
