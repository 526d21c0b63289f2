"""Parts of a plan, for tests: up to a node, one node, and with given outputs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.failure_policy import RetryPolicy
from gateway.flows.plan import FlowPlan
from gateway.flows.plan_node import PlanNode
from gateway.flows.spec import NodeType
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelection:
    """What runs of a flow; without `until` and `only` all of it."""

    until: str | None = None
    """Only this node, and those that it needs."""
    only: str | None = None
    """Only this node; what it reads is in `pins`, or is the call's input."""
    pins: Mapping[str, Any] = field(default_factory=dict)
    """Node id → output, in place of running the node (Any: JSON)."""

    @property
    def is_all(self) -> bool:
        """Whether all nodes run."""
        return self.until is None and self.only is None and not self.pins


def select_nodes(plan: FlowPlan, selection: NodeSelection) -> FlowPlan:
    """Return the plan of what is selected.

    A pinned node has its output at once, and what only pinned nodes need does not run. If it has
    predecessors that run for another node, it waits for these.

    Raises:
        GatewayError: VALIDATION_FAILED for unknown nodes, for `until` with `only`, and if `only`
            reads a node without a pin.
    """
    if selection.is_all:
        return plan
    _check(plan, selection)
    if selection.only is not None:
        return _single(plan, selection.only, selection.pins)
    if selection.until is not None:
        targets = {selection.until}
    else:
        targets = {node.id for node in plan.nodes if not node.outgoing}
    return _part(plan, _needed(plan, targets, selection.pins), selection.pins)


def _check(plan: FlowPlan, selection: NodeSelection) -> None:
    known = {node.id for node in plan.nodes}
    if selection.until is not None and selection.only is not None:
        raise _invalid("only", "expected either until or only")
    for name in ("until", "only"):
        node_id = getattr(selection, name)
        if node_id is not None and node_id not in known:
            raise _invalid(name, f"the flow has no connected node '{node_id}'")
    for node_id in selection.pins:
        if node_id not in known:
            raise _invalid("pins", f"the flow has no connected node '{node_id}'")


def _needed(plan: FlowPlan, targets: Collection[str], pins: Mapping[str, Any]) -> set[str]:
    """Return the targets and all that runs before them, but not what only pinned nodes need."""
    before: dict[str, set[str]] = {node.id: set(node.reads) for node in plan.nodes}
    for node in plan.nodes:
        for edge in node.outgoing:
            before[plan.nodes[edge.target].id].add(node.id)
    found, waiting = set(targets), list(targets)
    while waiting:
        node_id = waiting.pop()
        more = set() if node_id in pins else before[node_id] - found
        found |= more
        waiting += more
    return found


def _part(plan: FlowPlan, kept: Collection[str], pins: Mapping[str, Any]) -> FlowPlan:
    """Return the plan of the kept nodes, which has all that they need."""
    nodes = [node for node in plan.nodes if node.id in kept]
    index = {node.id: at for at, node in enumerate(nodes)}
    incoming = dict.fromkeys(kept, 0)
    parts: list[PlanNode] = []
    for node in nodes:
        outgoing = tuple(
            replace(edge, target=index[plan.nodes[edge.target].id])
            for edge in node.outgoing
            if plan.nodes[edge.target].id in kept
        )
        for edge in outgoing:
            incoming[nodes[edge.target].id] += 1
        parts.append(replace(_pinned(node, pins), outgoing=outgoing))
    return replace(
        plan,
        nodes=tuple(replace(node, incoming=incoming[node.id]) for node in parts),
        outputs=tuple(one for one in plan.outputs if one in kept),
    )


def _single(plan: FlowPlan, node_id: str, pins: Mapping[str, Any]) -> FlowPlan:
    """Return the plan of one node, with the outputs that it reads; none waits for an edge."""
    node = next(node for node in plan.nodes if node.id == node_id)
    inputs = {one.id for one in plan.nodes if one.type == NodeType.API_INPUT}
    missing = sorted(node.reads - pins.keys() - inputs)
    if missing:
        listed = ", ".join(f"'{one}'" for one in missing)
        raise _invalid("pins", f"'{node_id}' reads {listed}: expected a pin for each")
    kept = {node_id, *node.reads}
    return replace(
        plan,
        nodes=tuple(
            replace(_pinned(one, pins), incoming=0, outgoing=())
            for one in plan.nodes
            if one.id in kept
        ),
        outputs=tuple(one for one in plan.outputs if one == node_id),
    )


def _pinned(node: PlanNode, pins: Mapping[str, Any]) -> PlanNode:
    if node.id not in pins:
        return node
    output = pins[node.id]
    return replace(
        node,
        prepare=lambda _values: output,
        is_local=True,
        program=None,
        perform=None,
        retry=RetryPolicy(),
    )


def _invalid(field_name: str, detail: str) -> GatewayError:
    pointer = f"#/{field_name}"
    return GatewayError(
        ErrorCode.VALIDATION_FAILED,
        f"{field_name}: {detail}",
        errors=[{"detail": detail, "pointer": pointer}],
    )
