"""Request and response bodies of flows. The graph is validated by `spec.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from gateway.flows.flow_warnings import FlowWarning, FlowWarningCode
from gateway.flows.node_schemas import NODE
from gateway.flows.service import Draft
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page
from gateway.storage.tables import Flow

Elements = list[dict[str, Any]]
"""Any: nodes and edges keep members that only an editor reads."""
Nodes = Annotated[Elements, WithJsonSchema({"type": "array", "items": {"$ref": NODE}})]
"""Nodes of a valid flow. `spec.py` validates them; the document describes each type."""


EXAMPLE_GRAPH: dict[str, Any] = {
    "nodes": [
        {
            "id": "input",
            "type": "api_input",
            "config": {"test_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}},
        },
        {"id": "model", "type": "inference", "config": {"model": "iris", "version": "latest"}},
        {"id": "output", "type": "api_output", "config": {}},
    ],
    "edges": [
        {"source": "input", "target": "model"},
        {"source": "model", "target": "output"},
    ],
}
"""A graph for examples of bodies (Any: JSON)."""


class FlowIn(BaseModel):
    """A flow to save."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"name": "Iris classifier", **EXAMPLE_GRAPH}]},
    )

    name: DisplayName
    """The flow's name, for people."""
    nodes: Nodes
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: Elements = []
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""

    def draft(self) -> Draft:
        """Convert to the service's type."""
        return Draft(name=self.name, nodes=self.nodes, edges=self.edges)


class FlowPatch(BaseModel):
    """The members to change."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"name": "Iris classifier, second try"}]},
    )

    name: DisplayName | None = None
    """The flow's name, for people."""
    nodes: Nodes | None = None
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: Elements | None = None
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""


class FlowOut(BaseModel):
    """A flow."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the flow, as its routes take it."""
    name: str
    """The flow's name, for people."""
    nodes: Nodes
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: Elements
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""
    created_at: datetime
    """When it was created (UTC)."""
    updated_at: datetime
    """When it was last changed (UTC)."""

    @classmethod
    def of(cls, flow: Flow) -> Self:
        """Convert a row."""
        return cls(
            id=flow.id,
            name=flow.name,
            nodes=flow.definition["nodes"],
            edges=flow.definition["edges"],
            created_at=flow.created_at,
            updated_at=flow.updated_at,
        )


class FlowWarningOut(BaseModel):
    """A warning about a flow."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: FlowWarningCode
    """`unknown_model`: there is no such model, version or label that the user may use."""
    pointer: str
    """JSON pointer to the value that it is about, such as `#/nodes/2/config/model`."""
    message: str
    """The warning as a sentence for people."""


class SavedFlowOut(FlowOut):
    """A flow that was saved, with what keeps it from being deployed as things are."""

    warnings: list[FlowWarningOut]
    """What keeps it from being deployed as things are; empty: nothing."""

    @classmethod
    def of_saved(cls, flow: Flow, warnings: Sequence[FlowWarning]) -> Self:
        """Convert a row with its warnings."""
        shown = FlowOut.of(flow).model_dump()
        return cls.model_validate({**shown, "warnings": warnings})


class FlowPage(BaseModel):
    """A page of flows."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[FlowOut]
    """The flows of this page, in the order of `sort`."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[Flow]) -> Self:
        """Convert a page of rows."""
        return cls(items=[FlowOut.of(row) for row in page.items], next_cursor=page.next_cursor)
