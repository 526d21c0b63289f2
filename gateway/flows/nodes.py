"""Nodes as typed data, and how one is read from JSON. Pure."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.flows.config_reader import ConfigReader
from gateway.flows.failure_policy import ErrorPolicy, RetryPolicy, read_on_error, read_retry
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.node_types.api_output import ApiOutput
from gateway.flows.node_types.inference import Inference
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.validation import ValidationErrors

__all__ = ["ApiInput", "ApiOutput", "Inference", "Node", "NodeType", "parse_node"]

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_NAME_LENGTH = 200


class NodeType(StrEnum):
    """The types of nodes that other rooms of the gateway know by name; `HANDLERS` has all."""

    API_INPUT = "api_input"
    """Stands for the call's `input_data`."""
    INFERENCE = "inference"
    """Asks a model."""
    API_OUTPUT = "api_output"
    """Makes the call's `output_data`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a flow."""

    id: str
    type: str
    """A key of HANDLERS."""
    config: Any
    """Any: the configuration of its kind."""
    name: str = ""
    """For people; the id where they gave none."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_error: ErrorPolicy = field(default_factory=ErrorPolicy)


def parse_node(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> Node | None:
    """Return the node that `raw` describes; None, and findings, where it describes none."""
    node_id, node_type, config = raw.get("id"), raw.get("type"), raw.get("config", {})
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        # Expressions name nodes by id, so an id has to be a name in CEL.
        detail = "expected a letter or _ and up to 63 letters, digits or _"
        errors.add(f"{pointer}/id", f"{detail}, got {reprlib.repr(node_id)}")
        return None
    if not isinstance(node_type, str) or node_type not in HANDLERS:
        known = ", ".join(HANDLERS)
        errors.add(f"{pointer}/type", f"expected one of {known}, got {reprlib.repr(node_type)}")
        return None
    if not isinstance(config, dict):
        errors.add(f"{pointer}/config", "expected an object")
        return None
    name = raw.get("name")
    return Node(
        id=node_id,
        type=node_type,
        config=HANDLERS[node_type].read(ConfigReader(config, f"{pointer}/config", errors)),
        name=name[:_MAX_NAME_LENGTH] if isinstance(name, str) and name.strip() else node_id,
        retry=read_retry(raw, pointer, errors),
        on_error=read_on_error(raw, pointer, errors),
    )
