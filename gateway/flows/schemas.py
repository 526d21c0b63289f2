"""Request and response bodies of flows. The graph is validated by `spec.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

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


class FlowPage(BaseModel):
    """A page of flows."""

    items: list[FlowOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Flow]) -> Self:
        """Convert a page of rows."""
        return cls(items=[FlowOut.of(row) for row in page.items], next_cursor=page.next_cursor)
