"""A flow as typed, validated data. Pure: JSON in, frozen dataclasses or GatewayError out."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.config_reader import ConfigReader
from gateway.flows.failure_policy import ErrorPolicy, RetryPolicy, read_on_error, read_retry
from gateway.flows.graph import Edge, check_graph
from gateway.flows.node_types.inference import Inference
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.validation import ValidationErrors
from gateway.storage.stored_json import dump_stored
from protos.errors import ErrorCode

_MAX_NODES = 1_000
_MAX_EDGES = 10_000
_MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 100
_MAX_NAME_LENGTH = 200
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class NodeType(StrEnum):
    """The node types that code outside `node_types` refers to; `HANDLERS` has all."""

    API_INPUT = "api_input"
    """Provides the call's `input_data`."""
    INFERENCE = "inference"
    """Calls a model."""
    PYTHON = "python"
    """Calls a function of an installed package."""
    API_OUTPUT = "api_output"
    """Builds the call's `output_data`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a flow."""

    id: str
    type: str
    """A key of HANDLERS."""
    config: Any
    """Any: the configuration class of the type."""
    raw: Mapping[str, Any]
    """The node as JSON."""
    name: str = ""
    """A display name; defaults to the id."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_error: ErrorPolicy = field(default_factory=ErrorPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec:
    """A consistent flow: ids are unique, edges connect existing nodes, there is no cycle."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of_type(self, node_type: str) -> tuple[Node, ...]:
        """Return the nodes of one type, in the order of the flow."""
        return tuple(node for node in self.nodes if node.type == node_type)

    def inferences(self) -> Mapping[str, Inference]:
        """Return the configuration of each inference node by node id."""
        return {node.id: node.config for node in self.nodes if isinstance(node.config, Inference)}


def parse_flow(definition: Mapping[str, Any]) -> FlowSpec:
    """Parse `{"nodes": […], "edges": […]}`.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    _check_storable(definition)
    errors = ValidationErrors()
    raw_nodes = _objects(definition, "nodes", _MAX_NODES, errors)
    raw_edges = _objects(definition, "edges", _MAX_EDGES, errors)
    if not raw_nodes:
        errors.add("#/nodes", "expected at least one node")
    errors.raise_if_any()
    nodes = [_parse_node(raw, f"#/nodes/{at}", errors) for at, raw in enumerate(raw_nodes)]
    edges = [_parse_edge(raw, f"#/edges/{at}", errors) for at, raw in enumerate(raw_edges)]
    errors.raise_if_any()
    spec = FlowSpec(
        nodes=tuple(node for node in nodes if node), edges=tuple(edge for edge in edges if edge)
    )
    ids = _unique_ids(spec, errors)
    check_graph(ids, spec.edges, errors)
    errors.raise_if_any()
    return spec


def input_config(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the unparsed configuration of a valid flow's `api_input`, or {} if it has none."""
    for node in definition["nodes"]:
        if node["type"] == NodeType.API_INPUT:
            config: Mapping[str, Any] = node.get("config", {})
            return config
    return {}


def _check_storable(definition: Mapping[str, Any]) -> None:
    """Refuse what Python's JSON parser accepts but a database or another parser would not."""
    if _deeper_than(definition, _MAX_DEPTH):
        detail = f"the flow is nested deeper than {_MAX_DEPTH} levels"
        raise GatewayError(ErrorCode.INVALID_FLOW, detail)
    try:
        size = len(dump_stored(definition))
    except UnicodeEncodeError:
        detail = "a string contains a lone surrogate, which is not valid Unicode"
    except ValueError:
        detail = "a number is NaN or infinite, which JSON does not allow"
    else:
        if size <= _MAX_BYTES:
            return
        detail = f"the flow takes {size} bytes, at most {_MAX_BYTES} are allowed"
    raise GatewayError(ErrorCode.INVALID_FLOW, detail)


def _deeper_than(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _objects(
    definition: Mapping[str, Any], field: str, maximum: int, errors: ValidationErrors
) -> Sequence[Mapping[str, Any]]:
    values: list[Mapping[str, Any]] = definition.get(field, [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        errors.add(f"#/{field}", "expected a list of objects")
    elif len(values) > maximum:
        errors.add(f"#/{field}", f"expected at most {maximum}, got {len(values)}")
    errors.raise_if_any()
    return values


def _parse_node(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> Node | None:
    """Return the node, or None after adding errors."""
    node_id, node_type, config = raw.get("id"), raw.get("type"), raw.get("config", {})
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        # Expressions refer to nodes by id, so an id must be an identifier in CEL.
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
        raw=raw,
        name=name[:_MAX_NAME_LENGTH] if isinstance(name, str) and name.strip() else node_id,
        retry=read_retry(raw, pointer, errors),
        on_error=read_on_error(raw, pointer, errors),
    )


def _parse_edge(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> Edge | None:
    source, target, case = raw.get("source"), raw.get("target"), raw.get("case")
    if not isinstance(source, str) or not isinstance(target, str):
        errors.add(pointer, "expected `source` and `target`, each the id of a node")
        return None
    if case is not None and not isinstance(case, str):
        errors.add(f"{pointer}/case", "expected the name of a case of the branch")
        return None
    return Edge(source=source, target=target, case=case)


def _unique_ids(spec: FlowSpec, errors: ValidationErrors) -> set[str]:
    ids: set[str] = set()
    for at, node in enumerate(spec.nodes):
        if node.id in ids:
            errors.add(f"#/nodes/{at}/id", f"duplicate node id '{node.id}'")
        ids.add(node.id)
    return ids
