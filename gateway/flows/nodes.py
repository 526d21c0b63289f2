"""Nodes as typed data, and how one is read from JSON. Pure."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.flows.findings import Findings

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class NodeType(StrEnum):
    """What a node does."""

    API_INPUT = "api_input"
    """Stands for the call's `input_data`."""
    INFERENCE = "inference"
    """Asks a model."""
    TRANSFORM = "transform"
    """Computes values from other nodes' outputs."""
    BRANCH = "branch"
    """Chooses where to go on."""
    HTTP_REQUEST = "http_request"
    """Calls an HTTP service."""
    WAIT = "wait"
    """Lets time pass."""
    PYTHON = "python"
    """Runs a snippet."""
    API_OUTPUT = "api_output"
    """Makes the call's `output_data`."""


_TYPES = {str(node_type): node_type for node_type in NodeType}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiInput:
    """What callers send."""

    schema: Mapping[str, Any] | None
    """JSON Schema of `input_data`."""
    test_data: Mapping[str, Any] | None
    """An example of `input_data`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Which model to ask, and with what."""

    model: str
    version: str
    """`latest`, a number or a label."""
    inputs: Mapping[str, str] | None
    """Tensor → expression; None: the call's input of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOutput:
    """What callers get."""

    fields: Mapping[str, str] | None
    """Field of `output_data` → expression; None: all outputs of the node before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """The configuration of a node that only the flow engine reads."""

    values: Mapping[str, Any]


Config = ApiInput | Inference | ApiOutput | Other


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a flow."""

    id: str
    type: NodeType
    config: Config


def parse_node(raw: Mapping[str, Any], pointer: str, findings: Findings) -> Node | None:
    """Return the node that `raw` describes; None, and findings, where it describes none."""
    node_id, node_type, config = raw.get("id"), raw.get("type"), raw.get("config", {})
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        # Expressions name nodes by id, so an id has to be a name in CEL.
        detail = "expected a letter or _ and up to 63 letters, digits or _"
        findings.add(f"{pointer}/id", f"{detail}, got {reprlib.repr(node_id)}")
        return None
    if not isinstance(node_type, str) or node_type not in _TYPES:
        known = ", ".join(_TYPES)
        findings.add(f"{pointer}/type", f"expected one of {known}, got {reprlib.repr(node_type)}")
        return None
    if not isinstance(config, dict):
        findings.add(f"{pointer}/config", "expected an object")
        return None
    reader = _Reader(config, f"{pointer}/config", findings)
    return Node(id=node_id, type=_TYPES[node_type], config=_config(_TYPES[node_type], reader))


def _config(node_type: NodeType, reader: _Reader) -> Config:
    match node_type:
        case NodeType.API_INPUT:
            return ApiInput(schema=reader.object("schema"), test_data=reader.object("test_data"))
        case NodeType.INFERENCE:
            return Inference(
                model=reader.model(), version=reader.version(), inputs=reader.expressions("inputs")
            )
        case NodeType.API_OUTPUT:
            return ApiOutput(fields=reader.expressions("fields"))
        case _:
            return Other(values=reader.config)


class _Reader:
    """Reads the members of one `config`, and complains about those of another form."""

    def __init__(self, config: Mapping[str, Any], pointer: str, findings: Findings) -> None:
        self.config = config
        self._pointer = pointer
        self._findings = findings

    def object(self, field: str) -> Mapping[str, Any] | None:
        value = self.config.get(field)
        if value is None or isinstance(value, dict):
            return value
        self._complain(field, "expected an object")
        return None

    def model(self) -> str:
        value = self.config.get("model")
        if isinstance(value, str) and value:
            return value
        self._complain("model", "expected the name of a model")
        return ""

    def version(self) -> str:
        value = self.config.get("version", "latest")
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        self._complain("version", "expected 'latest', a number or a label")
        return ""

    def expressions(self, field: str) -> Mapping[str, str] | None:
        values = self.object(field)
        if values is None:
            return None
        if not values:
            self._complain(field, "names nothing: leave it out to take everything")
        for name, value in values.items():
            if not isinstance(value, str) or not value.strip():
                escaped = name.replace("~", "~0").replace("/", "~1")  # RFC 6901
                self._complain(f"{field}/{escaped}", "expected an expression, such as 'input.x'")
        return values

    def _complain(self, field: str, detail: str) -> None:
        self._findings.add(f"{self._pointer}/{field}", detail)
