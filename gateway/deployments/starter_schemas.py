"""The response body of a model's starter flow."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from gateway.deployments.starter import Starter
from gateway.flows.schemas import Nodes


class StarterFlowOut(BaseModel):
    """Nodes and edges of a flow to save. Any: as in `FlowIn`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    nodes: Nodes
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: list[dict[str, Any]]
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""


class StarterOut(BaseModel):
    """What a model takes, and a flow around it. Any: JSON."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    input_schema: dict[str, Any] | None
    """The JSON Schema of `input_data`. Its `x-tensor` say which tensor a value becomes: `datatype`
    and `shape`, unless its columns have names. Null: the model takes nothing."""
    test_data: dict[str, Any] | None
    """An `input_data` that the model accepts. Null: a tensor is too large for an example."""
    flow: StarterFlowOut
    """`api_input` → `inference` → `api_output`, with the test data."""

    @classmethod
    def of(cls, starter: Starter) -> Self:
        """Return the response body."""
        return cls.model_validate(starter)
