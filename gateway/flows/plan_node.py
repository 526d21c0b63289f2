"""A node of a compiled flow. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.flows.failure_policy import ErrorPolicy, RetryPolicy
from gateway.flows.node_types.handler import Perform, Prepare
from gateway.flows.programs import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEdge:
    """An edge, seen from its source."""

    target: int
    """Index into the plan's nodes."""
    case: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """A compiled node."""

    id: str
    name: str
    type: str
    prepare: Prepare
    """Computes the node's values, if `is_local`. Raises also NeedsEvaluatorError, if `program`."""
    is_local: bool
    program: Program | None
    """The same, for an evaluator."""
    perform: Perform | None
    waits: bool
    """Whether `perform` only waits."""
    retry: RetryPolicy
    on_error: ErrorPolicy
    incoming: int
    """Number of incoming edges."""
    outgoing: tuple[OutgoingEdge, ...]
    is_branch: bool
    """Whether the output's `case` decides which edges are taken."""
    reads: frozenset[str]
    """The nodes that its values are computed from."""
