"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SearchKind(StrEnum):
    """The kind of an object."""

    FLOW = "flow"
    DEPLOYMENT = "deployment"
    MODEL = "model"
    RUN = "run"
    API_KEY = "api_key"
    WEBHOOK_DELIVERY = "webhook_delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An object of the user."""

    kind: SearchKind
    id: str
    title: str
    subtitle: str | None = None
    state: str | None = None
