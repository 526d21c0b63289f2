"""Request and response bodies of versions and their differences."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict

from gateway.deployments.diff import Difference
from gateway.deployments.live_deployment import read_pins
from gateway.deployments.schemas import PinnedModel, pinned_models
from gateway.deployments.settings import SchemaSource
from gateway.deployments.snapshots import VersionNote
from gateway.deployments.versions import NoteChange, VersionView
from gateway.flows.schemas import Nodes
from gateway.storage.names import Description, DisplayName
from gateway.storage.paging import Page

# Any, throughout: JSON of flows and of their schemas
Json = dict[str, Any]


class VersionNoteIn(BaseModel):
    """Name and description of a version; omitted members are unchanged."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"name": "Retrained", "description": "Trained with the data of October."}]
        },
    )

    name: DisplayName | None = None
    """A short name of the version, for people; null: none."""
    description: Description | None = None
    """What the version is for or has changed, for people; null: nothing."""

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
    """Its number: 1, 2, 3 … within the deployment."""
    live: bool
    """Whether calls run it that do not ask for another version."""
    name: str | None
    """A short name of the version, for people; null: none."""
    description: str | None
    """What the version is for or has changed, for people; null: nothing."""
    models: list[PinnedModel]
    """The model versions that it pins."""
    created_by: str | None
    """The profile."""
    created_by_key: str | None
    """The API key; null for the command line."""
    created_at: datetime
    """When it was created (UTC)."""

    @classmethod
    def of(cls, version: VersionView) -> Self:
        """Return the version as it is sent."""
        return cls.model_validate(_shown(cls, version))


class VersionOut(VersionSummary):
    """A version with its graph."""

    nodes: Nodes
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: list[Json]
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""
    input_schema: Json | None
    """The JSON Schema of `input_data`: the flow's, or else one that is derived from the models."""
    input_schema_source: SchemaSource | None
    """`flow` or `models`; null: there is no schema."""
    input_example: Json | None
    """The flow's test data, or else an example that the schema accepts."""

    @classmethod
    def of(cls, version: VersionView) -> Self:
        """Return the version as it is sent."""
        from gateway.deployments.input_schema import (  # noqa: PLC0415 - numpy, for this only
            describe_input,
        )

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

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[VersionSummary]
    """The versions of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[VersionView]) -> Self:
        """Return the page as it is sent."""
        items = [VersionSummary.of(version) for version in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class FieldChangeOut(BaseModel):
    """A member with another value; an absent value is null."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str
    """JSON pointer (RFC 6901) within the node, such as `/config/model`."""
    before: Any
    """The value in the first version; null: it is absent there."""
    after: Any
    """The value in the second version; null: it is absent there."""


class NodeChangeOut(BaseModel):
    """A node that is in both versions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the node."""
    type: str
    """The node's type in the second version, such as `inference`."""
    fields: list[FieldChangeOut]
    """The members of the node that differ."""


class NodesOut(BaseModel):
    """How the nodes differ."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    added: list[Json]
    """The nodes that only the second version has."""
    removed: list[Json]
    """The nodes that only the first version has."""
    changed: list[NodeChangeOut]
    """The nodes that differ in more than their layout."""


class EdgesOut(BaseModel):
    """How the edges differ."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    added: list[Json]
    """The edges that only the second version has."""
    removed: list[Json]
    """The edges that only the first version has."""


class ModelVersionOut(BaseModel):
    """A version of a model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    """Name of the model."""
    version: int
    """Number of the model version."""


class ModelChangeOut(BaseModel):
    """A node with another model or model version."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    node: str
    """Id of the node."""
    before: ModelVersionOut | None
    """What the node calls in the first version; null: no model."""
    after: ModelVersionOut | None
    """What the node calls in the second version; null: no model."""
    signature_changed: bool
    """Whether the tensors differ."""


class SchemaChangeOut(BaseModel):
    """A keyword of the input schema with another value; an absent value is null."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str
    """JSON pointer (RFC 6901) into the schema, such as `/properties/x/type`."""
    before: Any
    """The value in the first version; null: it is absent there."""
    after: Any
    """The value in the second version; null: it is absent there."""
    breaking: bool
    """Whether a previously valid body may be refused."""
    reason: str
    """Why it is breaking or not, for people."""


class InputSchemaOut(BaseModel):
    """How the input schemas differ."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    breaking: bool
    """Whether a previously valid body may be refused."""
    changes: list[SchemaChangeOut]
    """The keywords and properties that differ."""


class DifferenceOut(BaseModel):
    """The difference between two versions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    before: str
    """The number of a version, or `draft`."""
    after: str
    """The number of a version, or `draft`."""
    same: bool
    """Whether both behave the same."""
    nodes: NodesOut
    """Nodes that were added, removed or changed."""
    edges: EdgesOut
    """Edges that were added or removed."""
    models: list[ModelChangeOut]
    """The nodes with another model version; empty also where those of the draft cannot be
    resolved."""
    input_schema: InputSchemaOut
    """How the schemas of `input_data` differ."""
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
