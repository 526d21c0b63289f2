"""Edges of a flow, their validation, and the order that they imply. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from gateway.flows.validation import ProblemCode, ValidationErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` runs after `source`."""

    source: str
    target: str
    case: str | None = None
    """The case of the branch `source` for which the edge is taken; None: any case."""


def check_edges(
    node_ids: Collection[str], edges: Mapping[int, Edge], errors: ValidationErrors
) -> dict[int, Edge]:
    """Report edges to unknown nodes and duplicate edges; return the others by position."""
    found: dict[int, Edge] = {}
    seen: set[Edge] = set()
    for at, edge in edges.items():
        unknown = [end for end in ("source", "target") if getattr(edge, end) not in node_ids]
        for end in unknown:
            detail = f"unknown node '{getattr(edge, end)}'"
            errors.add(f"#/edges/{at}/{end}", detail, ProblemCode.INVALID_EDGE)
        if edge in seen:
            detail = f"duplicate edge {edge.source} → {edge.target}"
            errors.add(f"#/edges/{at}", detail, ProblemCode.INVALID_EDGE)
        elif not unknown:
            found[at] = edge
        seen.add(edge)
    return found


def check_acyclic(before: Mapping[str, Sequence[str]], errors: ValidationErrors) -> bool:
    """Report a cycle; return whether there is none."""
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        cycle = " → ".join(error.args[1])
        errors.add("#/edges", f"the flow contains a cycle: {cycle}", ProblemCode.CYCLE)
        return False
    return True


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
