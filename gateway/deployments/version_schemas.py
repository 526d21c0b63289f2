"""Request and response bodies of versions and their differences."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict

from gateway.deployments.diff import Difference
from gateway.deployments.input_schema import SchemaSource, describe_input
from gateway.deployments.live_deployment import read_pins
from gateway.deployments.schemas import PinnedModel, pinned_models
from gateway.deployments.snapshots import VersionNote
from gateway.deployments.versions import NoteChange, VersionView
from gateway.storage.names import Description, DisplayName
from gateway.storage.paging import Page

# Any, throughout: JSON of flows and of their schemas
Json = dict[str, Any]


class VersionNoteIn(BaseModel):
    """Name and description of a version; omitted members are unchanged."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName | None = None
    description: Description | None = None

    def note(self) -> VersionNote:
        """Return the note of a new version."""
        return VersionNote(name=self.name, description=self.description)

    def change(self) -> NoteChange:
        """Return the members that were sent."""
        return cast(NoteChange, self.model_dump(exclude_unset=True))


class VersionSummary(BaseModel):
    """A version without its graph."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: int
    live: bool
    name: str | None
    description: str | None
    models: list[PinnedModel]
    created_by: str | None
    """The profile."""
    created_by_key: str | None
    """The API key; null for the command line."""
    created_at: datetime

    @classmethod
    def of(cls, version: VersionView) -> Self:
        """Return the version as it is sent."""
        return cls.model_validate(_shown(cls, version))


class VersionOut(VersionSummary):
    """A version with its graph."""

    nodes: list[Json]
    edges: list[Json]
    input_schema: Json | None
    """The JSON Schema of `input_data`: the flow's, or else one that is derived from the models."""
    input_schema_source: SchemaSource | None
    """`flow` or `models`; null: there is no schema."""
    input_example: Json | None
    """The flow's test data, or else an example that the schema accepts."""

    @classmethod
    def of(cls, version: VersionView) -> Self:
        """Return the version as it is sent."""
        graph = version.row.definition
        expected = describe_input(graph, read_pins(version.row))
        values = {
            "nodes": graph["nodes"],
            "edges": graph.get("edges", []),
            "input_schema": expected.schema,
            "input_schema_source": expected.source,
            "input_example": expected.example,
        }
        return cls.model_validate(_shown(cls, version) | values)


class VersionPage(BaseModel):
    """A page of versions."""

    items: list[VersionSummary]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[VersionView]) -> Self:
        """Return the page as it is sent."""
        items = [VersionSummary.of(version) for version in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class FieldChangeOut(BaseModel):
    """A member with another value; an absent value is null."""

    pointer: str
    before: Any
    after: Any


class NodeChangeOut(BaseModel):
    """A node that is in both versions."""

    id: str
    type: str
    fields: list[FieldChangeOut]


class NodesOut(BaseModel):
    """How the nodes differ."""

    added: list[Json]
    removed: list[Json]
    changed: list[NodeChangeOut]


class EdgesOut(BaseModel):
    """How the edges differ."""

    added: list[Json]
    removed: list[Json]


class ModelVersionOut(BaseModel):
    """A version of a model."""

    model: str
    version: int


class ModelChangeOut(BaseModel):
    """A node with another model or model version."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    node: str
    before: ModelVersionOut | None
    after: ModelVersionOut | None
    signature_changed: bool
    """Whether the tensors differ."""


class SchemaChangeOut(BaseModel):
    """A keyword of the input schema with another value; an absent value is null."""

    pointer: str
    before: Any
    after: Any
    breaking: bool
    reason: str


class InputSchemaOut(BaseModel):
    """How the input schemas differ."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    breaking: bool
    """Whether a previously valid body may be refused."""
    changes: list[SchemaChangeOut]


class DifferenceOut(BaseModel):
    """The difference between two versions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    before: str
    """The number of a version, or `draft`."""
    after: str
    same: bool
    """Whether both behave the same."""
    nodes: NodesOut
    edges: EdgesOut
    models: list[ModelChangeOut]
    input_schema: InputSchemaOut
    problem: str | None
    """Why the draft cannot be deployed."""

    @classmethod
    def of(cls, found: Difference) -> Self:
        """Return the difference as it is sent."""
        graph = found.graph
        return cls.model_validate(
            {
                "before": found.before,
                "after": found.after,
                "same": found.same,
                "nodes": {
                    "added": graph.nodes_added,
                    "removed": graph.nodes_removed,
                    "changed": graph.nodes_changed,
                },
                "edges": {"added": graph.edges_added, "removed": graph.edges_removed},
                "models": found.models,
                "input_schema": {"breaking": found.breaking, "changes": found.input_schema},
                "problem": found.problem,
            },
            from_attributes=True,
        )


def _shown(schema: type[VersionSummary], version: VersionView) -> Json:
    row = version.row
    columns = {name: getattr(row, name) for name in schema.model_fields if hasattr(type(row), name)}
    return {**columns, "live": version.live, "models": pinned_models(row.models)}
