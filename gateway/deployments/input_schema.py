"""What a flow says of its `input_data`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.spec import NodeType

# Any, throughout: JSON that `parse_flow` has checked
Json = Mapping[str, Any]


def input_schema(definition: Json) -> dict[str, Any] | None:
    """Return the JSON Schema of `input_data` as it is written, where the flow has one."""
    schema: dict[str, Any] | None = _config(definition).get("schema")
    return schema


def accepted_schema(definition: Json) -> Json | None:
    """Return the schema that a body meets in fact.

    What `properties` do not name never reaches the schema: `additional_inputs` of the node says
    whether it is left out of the input, or refused.
    """
    schema = input_schema(definition)
    if schema is None or schema.get("additionalProperties") not in (None, False):
        return schema
    accepted = {name: value for name, value in schema.items() if name != "additionalProperties"}
    if _config(definition).get("additional_inputs") == "reject":
        accepted["additionalProperties"] = False
    return accepted


def _config(definition: Json) -> Json:
    for node in definition["nodes"]:
        if node["type"] == NodeType.API_INPUT:
            config: Json = node.get("config", {})
            return config
    return {}
