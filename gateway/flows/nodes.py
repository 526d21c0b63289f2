"""Nodes as typed data, and how one is read from JSON. Pure."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.flows.findings import Findings
from gateway.flows.kinds.api_input import ApiInput
from gateway.flows.kinds.api_output import ApiOutput
from gateway.flows.kinds.inference import Inference
from gateway.flows.kinds.registry import KINDS
from gateway.flows.policy import OnError, Retry, read_on_error, read_retry
from gateway.flows.reader import Reader

__all__ = ["ApiInput", "ApiOutput", "Inference", "Node", "NodeType", "parse_node"]

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST_NAME = 200


class NodeType(StrEnum):
    """The types of nodes that other rooms of the gateway know by name; `KINDS` has all."""

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
    """One of KINDS."""
    config: Any
    """Any: the configuration of its kind."""
    name: str = ""
    """For people; the id where they gave none."""
    retry: Retry = field(default_factory=Retry)
    on_error: OnError = field(default_factory=OnError)


def parse_node(raw: Mapping[str, Any], pointer: str, findings: Findings) -> Node | None:
    """Return the node that `raw` describes; None, and findings, where it describes none."""
    node_id, node_type, config = raw.get("id"), raw.get("type"), raw.get("config", {})
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        # Expressions name nodes by id, so an id has to be a name in CEL.
        detail = "expected a letter or _ and up to 63 letters, digits or _"
        findings.add(f"{pointer}/id", f"{detail}, got {reprlib.repr(node_id)}")
        return None
    if not isinstance(node_type, str) or node_type not in KINDS:
        known = ", ".join(KINDS)
        findings.add(f"{pointer}/type", f"expected one of {known}, got {reprlib.repr(node_type)}")
        return None
    if not isinstance(config, dict):
        findings.add(f"{pointer}/config", "expected an object")
        return None
    name = raw.get("name")
    return Node(
        id=node_id,
        type=node_type,
        config=KINDS[node_type].read(Reader(config, f"{pointer}/config", findings)),
        name=name[:_LONGEST_NAME] if isinstance(name, str) and name.strip() else node_id,
        retry=read_retry(raw, pointer, findings),
        on_error=read_on_error(raw, pointer, findings),
    )
