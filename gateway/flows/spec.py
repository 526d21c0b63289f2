"""A flow as typed, checked data. Pure: JSON in, frozen dataclasses or GatewayError out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.graph import Edge, check_graph
from gateway.flows.nodes import Inference, Node, parse_node
from gateway.flows.validation import ValidationErrors
from protos.errors import ErrorCode

_MAX_NODES = 1_000
_MAX_EDGES = 10_000
_MAX_BYTES = 4 * 1024 * 1024
_DEEPEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec:
    """A flow without contradictions: ids are unique, edges meet nodes, nothing goes in circles."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of_type(self, node_type: str) -> tuple[Node, ...]:
        """Return the nodes of one type, in the order of the flow."""
        return tuple(node for node in self.nodes if node.type == node_type)

    def inferences(self) -> Mapping[str, Inference]:
        """Return, by node id, the configuration of each node that asks a model."""
        return {node.id: node.config for node in self.nodes if isinstance(node.config, Inference)}


def parse_flow(definition: Mapping[str, Any]) -> FlowSpec:
    """Return the flow that `{"nodes": […], "edges": […]}` describes.

    Raises:
        GatewayError: INVALID_FLOW with everything that is wrong, each with its pointer.
    """
    _check_storable(definition)
    errors = ValidationErrors()
    raw_nodes = _objects(definition, "nodes", _MAX_NODES, errors)
    raw_edges = _objects(definition, "edges", _MAX_EDGES, errors)
    if not raw_nodes:
        errors.add("#/nodes", "expected at least one node")
    errors.raise_if_any()
    nodes = [parse_node(raw, f"#/nodes/{at}", errors) for at, raw in enumerate(raw_nodes)]
    edges = [_edge(raw, f"#/edges/{at}", errors) for at, raw in enumerate(raw_edges)]
    errors.raise_if_any()
    spec = FlowSpec(
        nodes=tuple(node for node in nodes if node), edges=tuple(edge for edge in edges if edge)
    )
    ids = _unique_ids(spec, errors)
    check_graph(ids, spec.edges, errors)
    errors.raise_if_any()
    return spec


def _check_storable(definition: Mapping[str, Any]) -> None:
    """Refuse what Python's JSON parser takes and no database or client can read back."""
    if _deeper_than(definition, _DEEPEST):
        detail = f"the flow is nested deeper than {_DEEPEST} levels"
        raise GatewayError(ErrorCode.INVALID_FLOW, detail)
    try:
        size = len(json.dumps(definition, allow_nan=False, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        detail = "a string holds a lone surrogate, which is no text"
    except ValueError:
        detail = "a number is NaN or infinite: JSON has neither"
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


def _edge(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> Edge | None:
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
            errors.add(f"#/nodes/{at}/id", f"another node is called '{node.id}', too")
        ids.add(node.id)
    return ids
