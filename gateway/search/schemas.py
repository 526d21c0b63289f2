"""What a search answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.search.items import FoundItem, SearchKind


class SearchItemOut(BaseModel):
    """An object of yours."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    kind: SearchKind
    """Which kind of object it is."""
    id: str
    """As its routes take it; of a model, its name."""
    title: str
    """Its name; of a run, that of its deployment; of a delivery, its event."""
    subtitle: str | None
    """What tells it from others of that name: of an API key, its mask."""
    state: str | None
    """As its routes say it; null: it has none."""


class SearchOut(BaseModel):
    """What was found, by kind."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[SearchItemOut]
    """The objects that were found, kind by kind."""

    @classmethod
    def of(cls, items: Iterable[FoundItem]) -> Self:
        """Return the items of a search."""
        return cls(items=[SearchItemOut.model_validate(item) for item in items])
