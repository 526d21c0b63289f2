"""Inference servers over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.fleet.states import Desired, Phase, State
from gateway.fleet.store import ServerSettings
from gateway.storage.paging import Page
from gateway.storage.tables import InferenceServer

_LONGEST_IDLE_SECONDS = 365 * 86_400


class ServerSettingsIn(BaseModel):
    """What can be set of an inference server."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    idle_timeout_seconds: int | None = Field(default=None, ge=1, le=_LONGEST_IDLE_SECONDS)
    """Seconds without an inference call after which the server sleeps, to be started again by the
    first call; null means never. One that runs takes a new value over when it starts next."""

    def settings(self) -> ServerSettings:
        """Return what was given: what was left out stays as it is."""
        if "idle_timeout_seconds" not in self.model_fields_set:
            return {}
        return {"idle_timeout_seconds": self.idle_timeout_seconds}


class ServerIn(ServerSettingsIn):
    """An inference server to run: for a flow, or for a model version.

    Of one that is there already, only the settings that are given change.
    """

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
    idle_timeout_seconds: int | None
    pid: int | None
    address: str | None
    tcp_address: str | None
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
