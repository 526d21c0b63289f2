"""Request and response bodies of revisions."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.flows.schemas import Elements, Nodes
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page


class RevisionNameIn(BaseModel):
    """A name for the present draft."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"name": "Before the second model"}]},
    )

    name: DisplayName
    """What the present draft is called in the list of revisions."""


class FlowRevisionSummary(BaseModel):
    """A state of a flow, without its graph."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    number: int
    """1, 2, 3 … within the flow."""
    name: str | None
    """Of a checkpoint; null: kept by itself."""
    flow_name: str
    """The flow's name then."""
    bytes: int
    """Of the graph, as JSON."""
    created_at: datetime
    """When the draft was first saved in this revision."""
    saved_at: datetime
    """When it was last saved in this revision."""
    created_by: str | None
    """Id of the user; null: saved by a release without revisions."""
    created_by_key: str | None
    """Id of the API key; null: none was used."""

    @classmethod
    def of(cls, row: FlowRevision) -> Self:
        """Convert a row."""
        return cls(
            number=row.number,
            name=row.name,
            flow_name=row.flow_name,
            bytes=row.definition_bytes,
            created_at=row.created_at,
            saved_at=row.saved_at,
            created_by=row.created_by,
            created_by_key=row.created_by_key,
        )


class FlowRevisionOut(FlowRevisionSummary):
    """A state of a flow."""

    nodes: Nodes
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: Elements
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""

    @classmethod
    def of_whole(cls, row: FlowRevision) -> Self:
        """Convert a row with its graph."""
        shown = FlowRevisionSummary.of(row).model_dump()
        definition = row.definition
        return cls(**shown, nodes=definition["nodes"], edges=definition["edges"])


class FlowRevisionPage(BaseModel):
    """A page of revisions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[FlowRevisionSummary]
    """The revisions of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[FlowRevision]) -> Self:
        """Convert a page of rows."""
        items = [FlowRevisionSummary.of(row) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
