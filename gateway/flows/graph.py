"""Edges of a flow, their validation, and the order that they imply. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from gateway.flows.validation import ValidationErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` runs after `source`."""

    source: str
    target: str
    case: str | None = None
    """The case of the branch `source` for which the edge is taken; None: any case."""


def check_graph(node_ids: Collection[str], edges: Sequence[Edge], errors: ValidationErrors) -> None:
    """Report edges to unknown nodes, duplicate edges and cycles."""
    seen: set[Edge] = set()
    for at, edge in enumerate(edges):
        for field, node_id in (("source", edge.source), ("target", edge.target)):
            if node_id not in node_ids:
                errors.add(f"#/edges/{at}/{field}", f"unknown node '{node_id}'")
        if edge in seen:
            errors.add(f"#/edges/{at}", f"duplicate edge {edge.source} → {edge.target}")
        seen.add(edge)
    if errors.any:
        return
    try:
        TopologicalSorter(predecessors(node_ids, edges)).prepare()
    except CycleError as error:
        cycle = " → ".join(error.args[1])
        errors.add("#/edges", f"the flow contains a cycle: {cycle}")


def predecessors(node_ids: Iterable[str], edges: Iterable[Edge]) -> dict[str, list[str]]:
    """Return the direct predecessors by node, without duplicates, in the order of the edges."""
    before: dict[str, list[str]] = {node_id: [] for node_id in node_ids}
    for edge in edges:
        if edge.source not in before[edge.target]:
            before[edge.target].append(edge.source)
    return before


def topological(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes in topological order, otherwise in the given order."""
    return list(TopologicalSorter(before).static_order())


def ancestors(before: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return, by node, all nodes that end before it starts."""
    found: dict[str, set[str]] = {}
    for node_id in topological(before):
        found[node_id] = set(before[node_id]).union(*(found[one] for one in before[node_id]))
    return found
