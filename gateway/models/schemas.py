"""Request and response bodies of models; a version is shown as its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

from pydantic import BaseModel, Field

from gateway.models.service import ModelEntry
from gateway.storage.paging import Page
from model_store.manifest import Manifest
from model_store.servable import ModelWarning, warnings_of


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOut(Manifest):
    """A version: its manifest, and what of the model is not served."""

    warnings: Sequence[ModelWarning] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the response body."""
        members = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
        return cls(**members, warnings=warnings_of(manifest))


class LabelIn(BaseModel):
    """The version that a label points to."""

    version: int = Field(ge=1)
