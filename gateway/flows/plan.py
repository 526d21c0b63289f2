"""Compiles a flow for execution: topological order, compiled expressions, checked references.

A flow with an `api_input` runs the nodes reachable from it. A flow without one starts at all nodes
without incoming edges. Plain paths and constants are compiled here, and calculations with numbers
when they are first evaluated. All but paths and constants is compiled in an evaluator to find
errors by `flow_check.py`, and again before it is evaluated there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.local import local_expression
from gateway.flows.cel.numeric import numeric_expression
from gateway.flows.cel.reads import mentioned
from gateway.flows.cel.values import CEL_TYPES, Expression
from gateway.flows.compile_context import MAX_EXPRESSIONS, CompileContext
from gateway.flows.graph import Edge, ancestors, predecessors, topological
from gateway.flows.input_validator import InputSelection, InputValidator, SchemaPort, WrittenInput
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.node_types.handler import Perform, Prepare
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.origins import Origin, find_origins
from gateway.flows.plan_node import OutgoingEdge, PlanNode
from gateway.flows.programs import Program
from gateway.flows.spec import FlowSpec, Node, NodeType, ParsedFlow
from gateway.flows.validation import ProblemCode, ValidationErrors

_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"}
    | {"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}
    | CEL_TYPES
)
"""Reserved words of CEL: an expression cannot refer to a node with such an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """A compiled flow. Immutable, shared by all runs."""

    nodes: tuple[PlanNode, ...]
    """In topological order."""
    outputs: tuple[str, ...]
    """The ids of the `api_output` nodes, in the order of the flow."""
    test_data: Mapping[str, Any] | None
    _input: InputValidator
    _origins: Mapping[str, Origin]

    @property
    def needs_evaluator(self) -> bool:
        """Whether its runs need an evaluator, whatever the values are."""
        return not all(node.is_local for node in self.nodes)

    @property
    def needs_functions(self) -> bool:
        """Whether its runs call functions of installed packages."""
        return any(node.type == NodeType.PYTHON for node in self.nodes)

    def is_input(self, nodes: Collection[str]) -> bool:
        """Whether outputs of `nodes` are computed from the call's input, and of nothing outside."""
        return Origin.of(nodes, self._origins) is Origin.INPUT

    def passes_input(self, name: str) -> bool:
        """Whether the flow receives the input `name`, if it is sent."""
        names = self.selection.names
        return names is None or name in names

    @property
    def selection(self) -> InputSelection:
        """Which inputs the flow receives."""
        return self._input.selection

    async def check_input(
        self, written: WrittenInput, schemas: SchemaPort, deadline: float
    ) -> bytes:
        """Validate what `selection` wrote, and return the inputs to pass to `execute`, as JSON.

        Raises:
            GatewayError: INVALID_INPUT with the first errors, each with its pointer; see
                SchemaPort.
        """
        return await self._input.validate(written, schemas, deadline)


def compile_plan(spec: FlowSpec) -> FlowPlan:
    """Compile a flow, except for what an evaluator compiles.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    errors = ValidationErrors()
    compiler = FlowCompiler(ParsedFlow.of(spec), errors)
    compiler.check_reachable(errors)
    compiler.check_graph()
    nodes = compiler.compile_nodes()
    errors.raise_if_any()
    return compiler.plan(nodes)


def reachable_part(spec: FlowSpec) -> FlowSpec:
    """Return the flow without what its `api_input` does not reach, which never runs."""
    reachable = FlowCompiler(ParsedFlow.of(spec), ValidationErrors()).reachable
    return FlowSpec(
        nodes=tuple(node for node in spec.nodes if node.id in reachable),
        edges=tuple(edge for edge in spec.edges if {edge.source, edge.target} <= reachable),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledNode:
    """A node's compiled configuration."""

    context: CompileContext
    prepare: Prepare
    perform: Perform | None


def _compile_here(source: str) -> Expression | None:
    return local_expression(source) or numeric_expression(source)


class FlowCompiler:
    """Compiles what can be read of a flow, and reports errors."""

    def __init__(self, parsed: ParsedFlow, errors: ValidationErrors) -> None:
        self._spec = spec = parsed.spec
        self._edges = parsed.edges
        self._errors = errors
        self._nodes = {node.id: node for node in spec.nodes}
        self._pointers = {node.id: f"#/nodes/{at}" for at, node in parsed.nodes.items()}
        self._before = predecessors(parsed.node_ids, spec.edges)
        self._outgoing: dict[str, list[Edge]] = {node_id: [] for node_id in parsed.node_ids}
        for edge in spec.edges:
            self._outgoing[edge.source].append(edge)
        self._incoming = Counter(edge.target for edge in spec.edges)
        self._earlier: Mapping[str, Collection[str]] = (
            dict.fromkeys(parsed.node_ids, parsed.node_ids)
            if parsed.has_cycle
            else ancestors(self._before)
        )
        self._inputs = spec.of_type(NodeType.API_INPUT)
        self.reachable = self._reachable_nodes()

    def check_reachable(self, errors: ValidationErrors) -> None:
        """Report unreachable nodes and a second `api_input`, which only a draft may have."""
        for node in self._inputs[1:]:
            detail = f"expected one api_input, but '{self._inputs[0].id}' is one already"
            errors.add(f"{self._pointers[node.id]}/type", detail, ProblemCode.SECOND_INPUT)
        for node_id, pointer in self._pointers.items():
            if node_id not in self.reachable:
                detail = f"'{node_id}' is not reachable from '{self._inputs[0].id}'"
                more = "add an edge, or remove the node"
                errors.add(pointer, f"{detail}: {more}", ProblemCode.UNREACHABLE)

    def check_graph(self) -> None:
        """Report ids that expressions cannot refer to, and edges with unknown cases."""
        self._check_ids()
        self._check_cases()

    def _check_ids(self) -> None:
        for node_id in self._nodes.keys() & _RESERVED:
            detail = f"'{node_id}' is a reserved word of CEL: choose another id"
            self._errors.add(f"{self._pointers[node_id]}/id", detail, ProblemCode.INVALID_ID)

    def compile_nodes(self) -> dict[str, CompiledNode]:
        """Compile the reachable nodes."""
        found: dict[str, CompiledNode] = {}
        count, too_many = 0, False
        for node in self._spec.nodes:
            if node.id in self.reachable:
                one = found[node.id] = self._compile(node)
                count += len(one.context.sources)
                too_many |= one.context.has_too_many or count > MAX_EXPRESSIONS
            if too_many:
                detail = f"expected at most {MAX_EXPRESSIONS} expressions in a flow"
                self._errors.add("#/nodes", detail, ProblemCode.INVALID_FLOW)
                break
        return found

    def _compile(self, node: Node) -> CompiledNode:
        handler, context = HANDLERS[node.type], self._compile_context(node)
        return CompiledNode(
            context=context,
            prepare=handler.prepare(node.config, context),
            perform=handler.perform(node.config, context) if handler.perform else None,
        )

    def _check_cases(self) -> None:
        for at, edge in self._edges.items():
            if edge.case is None or edge.source not in self._nodes:
                continue
            node = self._nodes[edge.source]
            cases = HANDLERS[node.type].cases
            known = cases(node.config) if cases else ()
            if edge.case not in known:
                listed = ", ".join(f"'{name}'" for name in known) or "none"
                detail = f"'{edge.source}' has no case '{edge.case}', expected one of: {listed}"
                self._errors.add(f"#/edges/{at}/case", detail, ProblemCode.INVALID_EDGE)

    def plan(self, compiled: Mapping[str, CompiledNode]) -> FlowPlan:
        """Assemble the plan from the compiled nodes."""
        order = topological(self._before)
        index = {node_id: at for at, node_id in enumerate(order)}
        config = self._inputs[0].config if self._inputs else ApiInput(schema=None, test_data=None)
        nodes = [self._plan_node(self._nodes[one], compiled[one], index) for one in order]
        return FlowPlan(
            nodes=tuple(nodes),
            outputs=tuple(node.id for node in self._spec.of_type(NodeType.API_OUTPUT)),
            test_data=config.test_data,
            _input=InputValidator(config.schema, reject=config.additional_inputs == "reject"),
            _origins=find_origins(nodes, self._earlier),
        )

    def _plan_node(self, node: Node, compiled: CompiledNode, index: Mapping[str, int]) -> PlanNode:
        outgoing = tuple(
            OutgoingEdge(target=index[edge.target], case=edge.case)
            for edge in self._outgoing[node.id]
        )
        return PlanNode(
            id=node.id,
            name=node.name,
            type=node.type,
            prepare=compiled.prepare,
            is_local=compiled.context.is_local,
            program=self._program(node, compiled) if compiled.context.has_program else None,
            perform=compiled.perform,
            waits=HANDLERS[node.type].waits,
            retry=node.retry,
            on_error=node.on_error,
            incoming=self._incoming[node.id],
            outgoing=outgoing,
            is_branch=HANDLERS[node.type].cases is not None,
            reads=self._reads(node, compiled),
        )

    def _reads(self, node: Node, compiled: CompiledNode) -> frozenset[str]:
        sources = compiled.context.sources
        read = mentioned(sources, self._earlier[node.id]) if sources else self._before[node.id]
        return frozenset(read)

    def _program(self, node: Node, compiled: CompiledNode) -> Program:
        return Program(
            node.raw,
            compiled.context.sources,
            before=self._before[node.id],
            earlier=self._earlier[node.id],
        )

    def _compile_context(self, node: Node) -> CompileContext:
        return CompileContext(
            node.id,
            f"{self._pointers[node.id]}/config",
            before=self._before[node.id],
            earlier=self._earlier[node.id],
            known=self._before.keys(),
            errors=self._errors,
            compile_expression=_compile_here,
        )

    def _reachable_nodes(self) -> set[str]:
        if not self._inputs:
            return set(self._nodes)
        start = self._inputs[0].id
        return {one for one in self._nodes if one == start or start in self._earlier[one]}
