"""The flow around one model that a user starts with: input, model, output. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.deployments.input_schema import describe_input
from gateway.flows.spec import NodeType
from gateway.models.pins import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """What a model takes, and a flow that calls it. Any: JSON."""

    input_schema: dict[str, Any] | None
    """Of `input_data`; None: the model takes nothing."""
    test_data: dict[str, Any] | None
    """An `input_data` that the schema accepts; None: a tensor is too large for an example."""
    flow: Mapping[str, Any]
    """`nodes` and `edges`, with the test data."""


def starter_of(pin: Pin, version: str) -> Starter:
    """Return the starter of a model version, which the flow refers to as `version`.

    The inference node has no `inputs`: it takes the members of `input_data` by the names of its
    tensors, and `output_data` has the model's outputs.
    """
    definition = _chain(pin.model, version, {})
    expected = describe_input(definition, {"model": pin})
    config = {} if expected.example is None else {"test_data": expected.example}
    return Starter(
        input_schema=expected.schema,
        test_data=expected.example,
        flow=_chain(pin.model, version, config),
    )


# Any, here and below: JSON
def _chain(model: str, version: str, input_config: dict[str, Any]) -> dict[str, Any]:
    called = {"model": model, "version": version}
    return {
        "nodes": [
            {"id": "input", "type": NodeType.API_INPUT, "config": input_config},
            {"id": "model", "type": NodeType.INFERENCE, "config": called},
            {"id": "output", "type": NodeType.API_OUTPUT, "config": {}},
        ],
        "edges": [
            {"source": "input", "target": "model"},
            {"source": "model", "target": "output"},
        ],
    }
