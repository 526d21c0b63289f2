"""Finds the errors of a flow, including those that only an evaluator or an import can find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from gateway.errors import GatewayError
from gateway.flows.compile_context import CompileContext, Deferred, FunctionName
from gateway.flows.plan import FlowCompiler
from gateway.flows.programs import Compiled
from gateway.flows.spec import FlowSpec, ParsedFlow, parse_flow, read_flow
from gateway.flows.validation import ProblemCode, ValidationError, ValidationErrors
from protos.errors import ErrorCode

_COMPILE_SECONDS = 10.0
"""For all expressions and the schema of a flow."""


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


async def check_flow(definition: Mapping[str, Any], compiler_port: CompilerPort) -> FlowSpec:
    """Compile a flow and everything in it, to deploy it.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    spec, errors = parse_flow(definition), ValidationErrors()
    compiler = FlowCompiler(ParsedFlow.of(spec), errors)
    compiler.check_reachable(errors)
    await _compile(compiler, compiler_port)
    errors.raise_if_any()
    return spec


async def check_draft(definition: Mapping[str, Any], compiler_port: CompilerPort) -> FlowSpec:
    """Validate a flow for saving: unlike in `check_flow`, nodes may still be unconnected.

    Raises:
        GatewayError: INVALID_FLOW with all errors, each with its pointer.
    """
    spec, errors = parse_flow(definition), ValidationErrors()
    await _compile(FlowCompiler(ParsedFlow.of(spec), errors), compiler_port)
    errors.raise_if_any()
    return spec


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFindings:
    """What was found in a flow."""

    errors: Sequence[ValidationError]
    """What keeps it from being saved."""
    warnings: Sequence[ValidationError]
    """What keeps it from being deployed, beside unknown models."""
    parsed: ParsedFlow | None
    """None: it cannot be read at all."""


async def inspect_flow(definition: Mapping[str, Any], compiler_port: CompilerPort) -> FlowFindings:
    """Find the errors of all steps at once: of nodes, edges and expressions.

    Raises:
        GatewayError: as CompilerPort, except INVALID_FLOW.
    """
    errors, warnings = ValidationErrors(), ValidationErrors()
    try:
        parsed = read_flow(definition, errors)
    except GatewayError as error:
        errors.add("#", error.message, ProblemCode.INVALID_FLOW)
        return FlowFindings(errors=errors.items, warnings=(), parsed=None)
    read, compiled = errors.items, ValidationErrors()
    compiler = FlowCompiler(parsed, compiled)
    compiler.check_reachable(warnings)
    await _compile(compiler, compiler_port)
    known = {error.pointer for error in read}
    return FlowFindings(
        # The compiler reports again what the reader has replaced by a default.
        errors=[*read, *(error for error in compiled.items if error.pointer not in known)],
        warnings=warnings.items,
        parsed=parsed,
    )


async def _compile(compiler: FlowCompiler, compiler_port: CompilerPort) -> None:
    compiler.check_graph()
    deadline = monotonic() + _COMPILE_SECONDS
    for node in compiler.compile_nodes().values():
        await _check_functions(node.context, compiler_port)
        await _check_sources(node.context, compiler_port, deadline)


async def _check_functions(context: CompileContext, compiler_port: CompilerPort) -> None:
    for one in context.deferred:
        if isinstance(one.source, FunctionName):
            problem = await compiler_port.check_function(one.source.name)
            if problem is not None:
                detail = f"'{one.source.name}': {problem}"
                context.add_error(one.field, detail, ProblemCode.UNKNOWN_FUNCTION)


async def _check_sources(
    context: CompileContext, compiler_port: CompilerPort, deadline: float
) -> None:
    """Compile in an evaluator what is compiled there, and report errors."""
    deferred: list[Deferred] = []
    sources: list[str | Mapping[str, Any]] = []
    for one in context.deferred:
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
        context.add_error(field, error.message, ProblemCode.INVALID_EXPRESSION)
        return
    for one, result in zip(deferred, results, strict=True):
        _report(context, one, result)


def _report(context: CompileContext, deferred: Deferred, result: Compiled) -> None:
    is_expression = isinstance(deferred.source, str)
    if result.error is not None:
        code = ProblemCode.INVALID_EXPRESSION if is_expression else ProblemCode.INVALID_SCHEMA
        context.add_error(f"{deferred.field}{result.pointer}", result.error, code)
    elif isinstance(deferred.source, str):
        context.check_roots(deferred.field, deferred.source, result.roots)
