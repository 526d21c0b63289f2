"""Compares two graphs of a flow, ignoring layout and the order of nodes and edges. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.validation import pointer_token

# Any, throughout: JSON that `parse_flow` has checked
Json = Mapping[str, Any]

LAYOUT = frozenset(
    {
        "dragging",
        "height",
        "measured",
        "position",
        "positionAbsolute",
        "selected",
        "style",
        "ui",
        "width",
        "zIndex",
    }
)
"""Members of nodes and edges that only a graphical editor reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One member with another value. An absent value is None, like JSON's null."""

    pointer: str
    """Within the node, such as `/config/model` (RFC 6901)."""
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node that is in both graphs."""

    id: str
    type: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDiff:
    """The difference between two graphs."""

    nodes_added: tuple[Json, ...]
    nodes_removed: tuple[Json, ...]
    nodes_changed: tuple[NodeChange, ...]
    edges_added: tuple[Json, ...]
    edges_removed: tuple[Json, ...]

    @property
    def empty(self) -> bool:
        """Whether there is no difference."""
        return not (
            self.nodes_added
            or self.nodes_removed
            or self.nodes_changed
            or self.edges_added
            or self.edges_removed
        )


def diff_graphs(before: Json, after: Json) -> GraphDiff:
    """Compare two definitions, `{"nodes": […], "edges": […]}`."""
    old, new = _nodes(before), _nodes(after)
    old_edges, new_edges = _edges(before), _edges(after)
    changed = [
        NodeChange(id=node_id, type=node["type"], fields=tuple(fields))
        for node_id, node in new.items()
        if node_id in old and (fields := changes(old[node_id], node))
    ]
    return GraphDiff(
        nodes_added=tuple(node for node_id, node in new.items() if node_id not in old),
        nodes_removed=tuple(node for node_id, node in old.items() if node_id not in new),
        nodes_changed=tuple(changed),
        edges_added=tuple(edge for key, edge in new_edges.items() if key not in old_edges),
        edges_removed=tuple(edge for key, edge in old_edges.items() if key not in new_edges),
    )


def changes(before: Json, after: Json, pointer: str = "") -> list[FieldChange]:
    """Return the members that differ; recurses into objects, but not into lists."""
    found: list[FieldChange] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        at = f"{pointer}/{pointer_token(name)}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += changes(old, new, at)
        elif not same(old, new):
            found.append(FieldChange(pointer=at, before=old, after=new))
    return found


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal; in Python, True equals 1."""
    return _text(one) == _text(other)


def _nodes(definition: Json) -> dict[str, Json]:
    nodes: Sequence[Json] = definition.get("nodes", [])
    return {node["id"]: {"config": {}, **_drawn_apart(node)} for node in nodes}


def _edges(definition: Json) -> dict[str, Json]:
    """Return the edges by their content without the id, which editors assign arbitrarily."""
    edges = [_drawn_apart(edge) for edge in definition.get("edges", [])]
    return {_text({**edge, "id": None}): edge for edge in edges}


def _drawn_apart(element: Json) -> dict[str, Any]:
    return {name: value for name, value in element.items() if name not in LAYOUT}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
