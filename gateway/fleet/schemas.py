"""Inference servers over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.fleet.states import Desired, Phase, State
from gateway.storage.paging import Page
from gateway.storage.tables import InferenceServer


class Wish(BaseModel):
    """An inference server to run: for a flow, or for a model version."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    flow_id: str | None = None
    """The flow whose model to serve."""
    model: str | None = Field(default=None, min_length=1, max_length=128)
    """The model to serve."""
    version: str | int = Field(default="latest", union_mode="left_to_right")
    """`latest`, a number or a label."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.flow_id is None) == (self.model is None):
            raise ValueError("expected either `flow_id` or `model`")
        return self


class ServerOut(BaseModel):
    """An inference server: what is wanted, and what was last seen."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    model: str
    version: int
    flow_id: str | None
    desired: Desired
    state: State
    phase: Phase | None
    pid: int | None
    address: str | None
    metrics_address: str | None
    restarts: int
    memory_bytes: int | None
    reason: str | None
    boot_seconds: float | None
    started_at: datetime | None
    ready_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ServerPage(BaseModel):
    """A page of inference servers."""

    items: list[ServerOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[InferenceServer]) -> Self:
        """Return the page as it is sent."""
        items = [ServerOut.model_validate(row) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
