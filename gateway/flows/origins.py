"""What the outputs of a flow's nodes are computed from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum

from gateway.flows.plan_node import PlanNode
from gateway.flows.spec import NodeType


class Origin(IntEnum):
    """The least certain thing that an output is computed from."""

    CONSTANT = 0
    INPUT = 1
    """The call's input."""
    OUTSIDE = 2
    """A model, a service, a function or a pause."""

    @classmethod
    def of(cls, nodes: Collection[str], origins: Mapping[str, Origin]) -> Origin:
        """Return the origin of what is computed from the outputs of `nodes`."""
        return max((origins[one] for one in nodes), default=cls.CONSTANT)


def find_origins(
    nodes: Sequence[PlanNode], earlier: Mapping[str, Collection[str]]
) -> dict[str, Origin]:
    """Return the origin of each node's output.

    Args:
        nodes: in topological order.
        earlier: by node, all nodes that end before it starts.
    """
    branches = {node.id for node in nodes if node.is_branch}
    found: dict[str, Origin] = {}
    for node in nodes:
        if node.type == NodeType.API_INPUT:
            found[node.id] = Origin.INPUT
        elif node.perform is not None:
            found[node.id] = Origin.OUTSIDE
        else:  # a branch may skip it: then its output is null
            decides = branches.intersection(earlier[node.id])
            found[node.id] = Origin.of({*node.reads, *decides}, found)
    return found
