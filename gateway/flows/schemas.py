"""Request and response bodies of flows. The graph is validated by `spec.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from gateway.flows.flow_warnings import FlowWarning, FlowWarningCode
from gateway.flows.service import Draft
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page
from gateway.storage.tables import Flow

Elements = list[dict[str, Any]]
"""Any: nodes and edges keep members that only an editor reads."""


class FlowIn(BaseModel):
    """A flow to save."""

    name: DisplayName
    nodes: Elements
    edges: Elements = []

    def draft(self) -> Draft:
        """Convert to the service's type."""
        return Draft(name=self.name, nodes=self.nodes, edges=self.edges)


class FlowPatch(BaseModel):
    """The members to change."""

    name: DisplayName | None = None
    nodes: Elements | None = None
    edges: Elements | None = None


class FlowOut(BaseModel):
    """A flow."""

    id: str
    name: str
    nodes: Elements
    edges: Elements
    created_at: datetime
    updated_at: datetime

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
    pointer: str
    """JSON pointer to the value that it is about, such as `#/nodes/2/config/model`."""
    message: str


class SavedFlowOut(FlowOut):
    """A flow that was saved, with what keeps it from being deployed as things are."""

    warnings: list[FlowWarningOut]

    @classmethod
    def of_saved(cls, flow: Flow, warnings: Sequence[FlowWarning]) -> Self:
        """Convert a row with its warnings."""
        shown = FlowOut.of(flow).model_dump()
        return cls.model_validate({**shown, "warnings": warnings})


class FlowPage(BaseModel):
    """A page of flows."""

    items: list[FlowOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Flow]) -> Self:
        """Convert a page of rows."""
        return cls(items=[FlowOut.of(row) for row in page.items], next_cursor=page.next_cursor)
