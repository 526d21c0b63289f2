"""Request and response bodies of models; a version is shown as its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.model_access import Visibility
from gateway.models.ownership import ChangedModel, ModelEntry, OwnershipChange
from gateway.storage.paging import Page
from model_store.manifest import Manifest
from model_store.servable import ModelWarning, warnings_of


class ModelOut(BaseModel):
    """A model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The name; models have no other id."""
    name: str
    versions: list[int]
    latest: int
    labels: dict[str, int]
    visibility: Visibility
    """`shared`: every user may use it; `private`: its owner, and admins and owners."""
    owner_id: str | None
    """The user it belongs to, shown to that user and to admins and owners; null: the installation,
    or not shown."""

    @classmethod
    def of(cls, entry: ModelEntry) -> Self:
        """Return the response body."""
        return cls(**_fields(entry))


class ChangedModelOut(ModelOut):
    """A model after a change."""

    deployments_of_others: int
    """Of users other than its owner: they keep calling the version that they pinned."""

    @classmethod
    def of_changed(cls, changed: ChangedModel) -> Self:
        """Return the response body."""
        return cls(**_fields(changed.entry), deployments_of_others=changed.deployments_of_others)


class ModelPage(BaseModel):
    """A page of models."""

    items: list[ModelOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ModelEntry]) -> Self:
        """Return the response body."""
        items = [ModelOut.of(entry) for entry in page.items if entry.versions]
        return cls(items=items, next_cursor=page.next_cursor)


class ModelPatch(BaseModel):
    """Changes to a model; omitted members stay as they are."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    visibility: Visibility = Visibility.PRIVATE
    """Who may use it."""
    owner_id: str | None = None
    """The id of its new owner; null: the installation. Only for admins and owners."""

    def change(self) -> OwnershipChange:
        """Return the members that were sent."""
        change: OwnershipChange = {}
        if "visibility" in self.model_fields_set:
            change["visibility"] = self.visibility
        if "owner_id" in self.model_fields_set:
            change["owner_id"] = self.owner_id
        return change


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


# Any: the members of ModelOut
def _fields(entry: ModelEntry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "name": entry.name,
        "versions": entry.versions,
        "latest": entry.versions[-1],
        "labels": dict(entry.labels),
        "visibility": entry.visibility,
        "owner_id": entry.owner_id,
    }
