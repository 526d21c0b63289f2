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
from gateway.flows.graph import Edge, check_acyclic, check_edges, predecessors
from gateway.flows.node_types.inference import Inference
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.validation import ProblemCode, ValidationErrors
from gateway.storage.stored_json import dump_stored
from protos.errors import ErrorCode

_MAX_NODES = 1_000
_MAX_EDGES = 10_000
_MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 100
_MAX_NAME_LENGTH = 200
ID_PATTERN = "[A-Za-z_][A-Za-z0-9_]{0,63}"
"""Of a node's id: expressions refer to nodes by it, so it must be an identifier in CEL."""
_ID = re.compile(ID_PATTERN)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFlow:
    """What can be read of a flow that may have errors."""

    nodes: Mapping[int, Node]
    """By position, without those whose id, type or `config` cannot be read."""
    edges: Mapping[int, Edge]
    """By position, those between nodes that exist."""
    node_ids: Sequence[str]
    """Of all nodes that have one."""
    has_cycle: bool

    @property
    def spec(self) -> FlowSpec:
        """The flow, if it has no errors."""
        return FlowSpec(nodes=tuple(self.nodes.values()), edges=tuple(self.edges.values()))

    @classmethod
    def of(cls, spec: FlowSpec) -> ParsedFlow:
        """Return a flow without errors."""
        return cls(
            nodes=dict(enumerate(spec.nodes)),
            edges=dict(enumerate(spec.edges)),
            node_ids=[node.id for node in spec.nodes],
            has_cycle=False,
        )


def parse_flow(definition: Mapping[str, Any]) -> FlowSpec:
    """Parse `{"nodes": […], "edges": […]}`.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    errors = ValidationErrors()
    parsed = read_flow(definition, errors)
    errors.raise_if_any()
    return parsed.spec


def read_flow(definition: Mapping[str, Any], errors: ValidationErrors) -> ParsedFlow:
    """Read what can be read of `{"nodes": […], "edges": […]}`, and report all errors.

    Raises:
        GatewayError: INVALID_FLOW if the document is too large, or is no JSON.
    """
    _check_storable(definition)
    raw_nodes = _objects(definition, "nodes", _MAX_NODES, errors)
    raw_edges = _objects(definition, "edges", _MAX_EDGES, errors)
    if raw_nodes == []:
        errors.add("#/nodes", "expected at least one node", ProblemCode.INVALID_FLOW)
    nodes: dict[int, Node] = {}
    positions: dict[str, int] = {}
    for at, raw in enumerate(raw_nodes or ()):
        node_id = _read_id(raw, at, positions, errors)
        node = None if node_id is None else _parse_node(node_id, raw, f"#/nodes/{at}", errors)
        if node is not None:
            nodes[at] = node
    edges: dict[int, Edge] = {}
    for at, raw in enumerate(raw_edges or ()):
        edge = _parse_edge(raw, f"#/edges/{at}", errors)
        if edge is not None:
            edges[at] = edge
    known = check_edges(positions, edges, errors) if raw_nodes else {}
    return ParsedFlow(
        nodes=nodes,
        edges=known,
        node_ids=list(positions),
        has_cycle=not check_acyclic(predecessors(positions, known.values()), errors),
    )


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
) -> Sequence[Mapping[str, Any]] | None:
    """Return the objects, or None after adding an error."""
    values: list[Mapping[str, Any]] = definition.get(field, [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        errors.add(f"#/{field}", "expected a list of objects", ProblemCode.INVALID_FLOW)
    elif len(values) > maximum:
        detail = f"expected at most {maximum}, got {len(values)}"
        errors.add(f"#/{field}", detail, ProblemCode.INVALID_FLOW)
    else:
        return values
    return None


def _read_id(
    raw: Mapping[str, Any], at: int, positions: dict[str, int], errors: ValidationErrors
) -> str | None:
    """Add the node's id to `positions` and return it; None after adding an error."""
    node_id, pointer = raw.get("id"), f"#/nodes/{at}/id"
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        # Expressions refer to nodes by id, so an id must be an identifier in CEL.
        detail = "expected a letter or _ and up to 63 letters, digits or _"
        errors.add(pointer, f"{detail}, got {reprlib.repr(node_id)}", ProblemCode.INVALID_ID)
        return None
    if node_id in positions:
        errors.add(pointer, f"duplicate node id '{node_id}'", ProblemCode.INVALID_ID)
        return None
    positions[node_id] = at
    return node_id


def _parse_node(
    node_id: str, raw: Mapping[str, Any], pointer: str, errors: ValidationErrors
) -> Node | None:
    """Return the node, or None after adding errors."""
    node_type, config = raw.get("type"), raw.get("config", {})
    if not isinstance(node_type, str) or node_type not in HANDLERS:
        known = ", ".join(HANDLERS)
        detail = f"expected one of {known}, got {reprlib.repr(node_type)}"
        errors.add(f"{pointer}/type", detail, ProblemCode.UNKNOWN_TYPE)
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
        detail = "expected `source` and `target`, each the id of a node"
        errors.add(pointer, detail, ProblemCode.INVALID_EDGE)
        return None
    if case is not None and not isinstance(case, str):
        detail = "expected the name of a case of the branch"
        errors.add(f"{pointer}/case", detail, ProblemCode.INVALID_EDGE)
        return None
    return Edge(source=source, target=target, case=case)
