"""Request and response bodies of models; a version is shown as its manifest."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field

from gateway.models.service import ModelEntry
from gateway.storage.paging import Page


class ModelOut(BaseModel):
    """A model."""

    id: str
    """The name; models have no other id."""
    name: str
    versions: list[int]
    latest: int
    labels: dict[str, int]

    @classmethod
    def of(cls, entry: ModelEntry) -> Self:
        """Return the response body."""
        return cls(
            id=entry.name,
            name=entry.name,
            versions=entry.versions,
            latest=entry.versions[-1],
            labels=dict(entry.labels),
        )


class ModelPage(BaseModel):
    """A page of models."""

    items: list[ModelOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ModelEntry]) -> Self:
        """Return the response body."""
        items = [ModelOut.of(entry) for entry in page.items if entry.versions]
        return cls(items=items, next_cursor=page.next_cursor)


class LabelIn(BaseModel):
    """The version that a label points to."""

    version: int = Field(ge=1)
