"""Edges, and what they may not do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from gateway.flows.findings import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` runs after `source`."""

    source: str
    target: str


def check_graph(node_ids: Collection[str], edges: Sequence[Edge], findings: Findings) -> None:
    """Complain about edges that meet no node, repeat another, or close a circle."""
    seen: set[Edge] = set()
    for at, edge in enumerate(edges):
        for field, node_id in (("source", edge.source), ("target", edge.target)):
            if node_id not in node_ids:
                findings.add(f"#/edges/{at}/{field}", f"there is no node '{node_id}'")
        if edge in seen:
            findings.add(f"#/edges/{at}", f"{edge.source} → {edge.target} is there already")
        seen.add(edge)
    if findings.any:
        return
    before: dict[str, set[str]] = {node_id: set() for node_id in node_ids}
    for edge in edges:
        before[edge.target].add(edge.source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        findings.add("#/edges", f"the flow goes in a circle: {circle}")
