"""Compiles a flow for execution: topological order, compiled expressions, checked references.

A flow with an `api_input` runs the nodes reachable from it. A flow without one starts at all nodes
without incoming edges. Plain paths and constants are compiled here, and calculations with numbers
when they are first evaluated. All but paths and constants is compiled in an evaluator to find
errors by `check_draft` and `check_flow`, and again before it is evaluated there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from gateway.errors import GatewayError
from gateway.flows.cel.local import local_expression
from gateway.flows.cel.numeric import numeric_expression
from gateway.flows.cel.reads import mentioned
from gateway.flows.cel.values import CEL_TYPES, Expression
from gateway.flows.compile_context import (
    MAX_EXPRESSIONS,
    CompileContext,
    Deferred,
    FunctionName,
)
from gateway.flows.graph import Edge, ancestors, predecessors, topological
from gateway.flows.input_validator import InputSelection, InputValidator, SchemaPort, WrittenInput
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.node_types.handler import Perform, Prepare
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.origins import Origin, find_origins
from gateway.flows.plan_node import OutgoingEdge, PlanNode
from gateway.flows.programs import Compiled, Program
from gateway.flows.spec import FlowSpec, Node, NodeType, parse_flow
from gateway.flows.validation import ValidationErrors
from protos.errors import ErrorCode

_COMPILE_SECONDS = 10.0
"""For all expressions and the schema of a flow that is saved or deployed."""
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


class CompilerPort(Protocol):
    """Compiles expressions and JSON Schemas, where it can be killed."""

    async def compile(
        self, sources: Sequence[str | Mapping[str, Any]], deadline: float
    ) -> Sequence[Compiled]:
        """Return a result for each source: an expression, or a schema (Any: JSON).

        `deadline` is `time.monotonic()`.

        Raises:
            GatewayError: INVALID_FLOW if it takes too much.
        """
        ...

    async def check_function(self, function: str) -> str | None:
        """Return why a function cannot be called, once it was imported; None if it can.

        Raises:
            GatewayError: DEADLINE_EXCEEDED, OVERLOADED.
        """
        ...


def compile_plan(spec: FlowSpec) -> FlowPlan:
    """Compile a flow, except for what an evaluator compiles.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    errors = ValidationErrors()
    compiler = _Compiler(spec, errors)
    compiler.check_reachable()
    compiler.check_graph()
    steps = compiler.steps()
    errors.raise_if_any()
    return compiler.plan(steps)


async def check_flow(definition: Mapping[str, Any], compiler_port: CompilerPort) -> FlowSpec:
    """Compile a flow and everything in it, to deploy it.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    return await _check(definition, compiler_port, is_draft=False)


async def check_draft(definition: Mapping[str, Any], compiler_port: CompilerPort) -> FlowSpec:
    """Validate a flow for saving: unlike in `check_flow`, nodes may still be unconnected.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    return await _check(definition, compiler_port, is_draft=True)


async def _check(
    definition: Mapping[str, Any], compiler_port: CompilerPort, *, is_draft: bool
) -> FlowSpec:
    spec = parse_flow(definition)
    errors = ValidationErrors()
    compiler = _Compiler(spec, errors)
    if not is_draft:
        compiler.check_reachable()
    compiler.check_graph()
    steps = compiler.steps()
    deadline = monotonic() + _COMPILE_SECONDS
    for step in steps.values():
        await step.check_deferred(compiler_port, deadline)
    errors.raise_if_any()
    return spec


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A node's compiled configuration."""

    context: CompileContext
    prepare: Prepare
    perform: Perform | None

    async def check_deferred(self, compiler_port: CompilerPort, deadline: float) -> None:
        """Compile in an evaluator what is compiled there, and report errors."""
        for one in self.context.deferred:
            if isinstance(one.source, FunctionName):
                problem = await compiler_port.check_function(one.source.name)
                if problem is not None:
                    self.context.add_error(one.field, f"'{one.source.name}': {problem}")
        await self._check_sources(compiler_port, deadline)

    async def _check_sources(self, compiler_port: CompilerPort, deadline: float) -> None:
        deferred: list[Deferred] = []
        sources: list[str | Mapping[str, Any]] = []
        for one in self.context.deferred:
            if not isinstance(one.source, FunctionName):
                deferred.append(one)
                sources.append(one.source)
        if not deferred:
            return
        try:
            results = await compiler_port.compile(sources, deadline)
        except GatewayError as error:
            if error.code != ErrorCode.INVALID_FLOW:
                raise
            field = deferred[0].field if len(deferred) == 1 else ""
            self.context.add_error(field, error.message)
            return
        for one, result in zip(deferred, results, strict=True):
            self._report(one, result)

    def _report(self, deferred: Deferred, result: Compiled) -> None:
        if result.error is not None:
            self.context.add_error(f"{deferred.field}{result.pointer}", result.error)
        elif isinstance(deferred.source, str):
            self.context.check_roots(deferred.field, deferred.source, result.roots)


def _compile_here(source: str) -> Expression | None:
    return local_expression(source) or numeric_expression(source)


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

    def check_graph(self) -> None:
        """Report ids that expressions cannot refer to, and edges with unknown cases."""
        self._check_ids()
        self._check_cases()

    def _check_ids(self) -> None:
        for node_id in self._nodes.keys() & _RESERVED:
            detail = f"'{node_id}' is a reserved word of CEL: choose another id"
            self._errors.add(f"{self._pointers[node_id]}/id", detail)

    def steps(self) -> dict[str, _Step]:
        """Compile the reachable nodes."""
        steps: dict[str, _Step] = {}
        count, too_many = 0, False
        for node in self._spec.nodes:
            if node.id in self._reachable:
                step = steps[node.id] = self._step(node)
                count += len(step.context.sources)
                too_many |= step.context.has_too_many or count > MAX_EXPRESSIONS
            if too_many:
                detail = f"expected at most {MAX_EXPRESSIONS} expressions in a flow"
                self._errors.add("#/nodes", detail)
                break
        return steps

    def _step(self, node: Node) -> _Step:
        handler, context = HANDLERS[node.type], self._compile_context(node)
        return _Step(
            context=context,
            prepare=handler.prepare(node.config, context),
            perform=handler.perform(node.config, context) if handler.perform else None,
        )

    def _check_cases(self) -> None:
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

    def plan(self, steps: Mapping[str, _Step]) -> FlowPlan:
        """Assemble the plan from the compiled `steps`."""
        order = topological(self._before)
        index = {node_id: at for at, node_id in enumerate(order)}
        config = self._inputs[0].config if self._inputs else ApiInput(schema=None, test_data=None)
        nodes = [self._plan_node(self._nodes[one], steps[one], index) for one in order]
        return FlowPlan(
            nodes=tuple(nodes),
            outputs=tuple(node.id for node in self._spec.of_type(NodeType.API_OUTPUT)),
            test_data=config.test_data,
            _input=InputValidator(config.schema, reject=config.additional_inputs == "reject"),
            _origins=find_origins(nodes, self._earlier),
        )

    def _plan_node(self, node: Node, step: _Step, index: Mapping[str, int]) -> PlanNode:
        outgoing = tuple(
            OutgoingEdge(target=index[edge.target], case=edge.case)
            for edge in self._outgoing[node.id]
        )
        return PlanNode(
            id=node.id,
            name=node.name,
            type=node.type,
            prepare=step.prepare,
            is_local=step.context.is_local,
            program=self._program(node, step) if step.context.has_program else None,
            perform=step.perform,
            retry=node.retry,
            on_error=node.on_error,
            incoming=self._incoming[node.id],
            outgoing=outgoing,
            is_branch=HANDLERS[node.type].cases is not None,
            reads=self._reads(node, step),
        )

    def _reads(self, node: Node, step: _Step) -> frozenset[str]:
        sources = step.context.sources
        read = mentioned(sources, self._earlier[node.id]) if sources else self._before[node.id]
        return frozenset(read)

    def _program(self, node: Node, step: _Step) -> Program:
        return Program(
            node.raw,
            step.context.sources,
            before=self._before[node.id],
            earlier=self._earlier[node.id],
        )

    def _compile_context(self, node: Node) -> CompileContext:
        return CompileContext(
            node.id,
            f"{self._pointers[node.id]}/config",
            before=self._before[node.id],
            earlier=self._earlier[node.id],
            known=self._nodes.keys(),
            errors=self._errors,
            compile_expression=_compile_here,
        )

    def _reachable_nodes(self) -> set[str]:
        if not self._inputs:
            return set(self._nodes)
        start = self._inputs[0].id
        return {one for one in self._nodes if one == start or start in self._earlier[one]}
