"""Compiles a flow for execution: topological order, compiled expressions, checked references. Pure.

A flow with an `api_input` runs the nodes reachable from it. A flow without one starts at all nodes
without incoming edges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import CEL_TYPES
from gateway.flows.compile_context import CompileContext
from gateway.flows.failure_policy import ErrorPolicy, RetryPolicy
from gateway.flows.graph import Edge, ancestors, predecessors, topological
from gateway.flows.input_validator import InputValidator
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.node_types.handler import NodeStep
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.spec import FlowSpec, Node, NodeType, parse_flow
from gateway.flows.validation import ValidationErrors

_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"}
    | {"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}
    | CEL_TYPES
)
"""Reserved words of CEL: an expression cannot refer to a node with such an id."""


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
    step: NodeStep
    retry: RetryPolicy
    on_error: ErrorPolicy
    incoming: int
    """Number of incoming edges."""
    outgoing: tuple[OutgoingEdge, ...]
    is_branch: bool
    """Whether the output's `case` decides which edges are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """A compiled flow. Immutable, shared by all runs."""

    nodes: tuple[PlanNode, ...]
    """In topological order."""
    outputs: tuple[str, ...]
    """The ids of the `api_output` nodes, in the order of the flow."""
    test_data: Mapping[str, Any] | None
    _input: InputValidator

    def check_input(self, input_data: Mapping[str, Any]) -> dict[str, Any]:
        """Validate `input_data` and return the inputs to pass to `execute`.

        Raises:
            GatewayError: INVALID_INPUT with all errors, each with its pointer.
        """
        return self._input.validate(input_data)


def compile_plan(spec: FlowSpec) -> FlowPlan:
    """Compile a flow.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    errors = ValidationErrors()
    compiler = _Compiler(spec, errors)
    compiler.check_reachable()
    compiler.check_ids()
    steps = compiler.steps()
    compiler.check_cases()
    errors.raise_if_any()
    return compiler.plan(steps)


def check_draft(definition: Mapping[str, Any]) -> FlowSpec:
    """Validate a flow for saving: unlike in `compile_plan`, nodes may still be unconnected.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    spec = parse_flow(definition)
    errors = ValidationErrors()
    compiler = _Compiler(spec, errors)
    compiler.check_ids()
    compiler.steps()
    compiler.check_cases()
    errors.raise_if_any()
    return spec


class _Compiler:
    def __init__(self, spec: FlowSpec, errors: ValidationErrors) -> None:
        self._spec = spec
        self._errors = errors
        self._nodes = {node.id: node for node in spec.nodes}
        self._pointers = {node.id: f"#/nodes/{at}" for at, node in enumerate(spec.nodes)}
        self._before = predecessors(self._nodes, spec.edges)
        self._outgoing: dict[str, list[Edge]] = {node.id: [] for node in spec.nodes}
        for edge in spec.edges:
            self._outgoing[edge.source].append(edge)
        self._incoming = Counter(edge.target for edge in spec.edges)
        self._earlier = ancestors(self._before)
        self._inputs = spec.of_type(NodeType.API_INPUT)
        self._reachable = self._reachable_nodes()

    def check_reachable(self) -> None:
        """Report unreachable nodes and a second `api_input`."""
        for node in self._inputs[1:]:
            detail = f"expected one api_input, but '{self._inputs[0].id}' is one already"
            self._errors.add(f"{self._pointers[node.id]}/type", detail)
        for node_id, pointer in self._pointers.items():
            if node_id not in self._reachable:
                detail = f"'{node_id}' is not reachable from '{self._inputs[0].id}'"
                self._errors.add(pointer, f"{detail}: add an edge, or remove the node")

    def check_ids(self) -> None:
        """Report ids that expressions cannot refer to."""
        for node_id in self._nodes.keys() & _RESERVED:
            detail = f"'{node_id}' is a reserved word of CEL: choose another id"
            self._errors.add(f"{self._pointers[node_id]}/id", detail)

    def steps(self) -> dict[str, NodeStep]:
        """Compile the reachable nodes."""
        return {
            node.id: HANDLERS[node.type].compile(node.config, self._compile_context(node))
            for node in self._spec.nodes
            if node.id in self._reachable
        }

    def check_cases(self) -> None:
        """Report edges with a case that their source does not have."""
        for at, edge in enumerate(self._spec.edges):
            if edge.case is None:
                continue
            node = self._nodes[edge.source]
            cases = HANDLERS[node.type].cases
            known = cases(node.config) if cases else ()
            if edge.case not in known:
                listed = ", ".join(f"'{name}'" for name in known) or "none"
                detail = f"'{edge.source}' has no case '{edge.case}', expected one of: {listed}"
                self._errors.add(f"#/edges/{at}/case", detail)

    def plan(self, steps: Mapping[str, NodeStep]) -> FlowPlan:
        """Assemble the plan from the compiled `steps`."""
        order = topological(self._before)
        index = {node_id: at for at, node_id in enumerate(order)}
        config = self._inputs[0].config if self._inputs else ApiInput(schema=None, test_data=None)
        return FlowPlan(
            nodes=tuple(self._plan_node(self._nodes[one], steps[one], index) for one in order),
            outputs=tuple(node.id for node in self._spec.of_type(NodeType.API_OUTPUT)),
            test_data=config.test_data,
            _input=config.validator(),
        )

    def _plan_node(self, node: Node, step: NodeStep, index: Mapping[str, int]) -> PlanNode:
        outgoing = tuple(
            OutgoingEdge(target=index[edge.target], case=edge.case)
            for edge in self._outgoing[node.id]
        )
        return PlanNode(
            id=node.id,
            name=node.name,
            type=node.type,
            step=step,
            retry=node.retry,
            on_error=node.on_error,
            incoming=self._incoming[node.id],
            outgoing=outgoing,
            is_branch=HANDLERS[node.type].cases is not None,
        )

    def _compile_context(self, node: Node) -> CompileContext:
        return CompileContext(
            node.id,
            f"{self._pointers[node.id]}/config",
            before=self._before[node.id],
            earlier=self._earlier[node.id],
            known=self._nodes.keys(),
            errors=self._errors,
        )

    def _reachable_nodes(self) -> set[str]:
        if not self._inputs:
            return set(self._nodes)
        start = self._inputs[0].id
        return {one for one in self._nodes if one == start or start in self._earlier[one]}
