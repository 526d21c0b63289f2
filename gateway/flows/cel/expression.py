"""Compiles and evaluates expressions: plain paths, which are looked up, and CEL programs. Pure.

Errors that do not depend on values are found at compile time: syntax, unknown nodes and functions,
length and depth. All others are an `ExpressionError` at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.cel.ast import ExpressionAst, ExpressionSyntaxError, parse_ast
from gateway.flows.cel.chunked_eval import CHUNK_SIZE, ChunkedExpression
from gateway.flows.cel.cost import CostLimitError, check_cost, estimate_cost
from gateway.flows.cel.library import (
    ADDED_FUNCTIONS,
    CEL_ERRORS,
    STANDARD_FUNCTIONS,
    Context,
    Program,
    compile_cel,
)
from gateway.flows.cel.paths import Path, follow, parse_path
from gateway.flows.cel.values import (
    CelVariables,
    Expression,
    ExpressionError,
    NodeValues,
    functions_used,
    new_context,
    node_reads,
    to_json,
)

_LITERALS = frozenset({"true", "false", "null"})
_REASON = 300
_WHOLE_LIST_STEPS = 20_000
"""Up to this cost, loops are evaluated at once; above it, in chunks, see `chunked_eval`."""
_MIXED = (
    "the operand types do not match; CEL does not mix integers and doubles: write "
    "double(input.x) * 2.0 if input.x may be either"
)


def compile_expression(source: str) -> Expression:
    """Compile `source`.

    Raises:
        ExpressionError: not valid CEL, or a call of an unknown function.
    """
    path = parse_path(source)
    if path is not None and path.node not in _LITERALS:
        return PathExpression(source, path)
    try:
        found = parse_ast(source)
        program = compile_cel(source)
    except ExpressionSyntaxError as error:
        raise ExpressionError(f"'{_truncated(source)}': {error}") from None
    except CEL_ERRORS as error:
        raise ExpressionError(_message(source, error)) from None
    for name in program.functions():
        if name[0].isalpha() and name not in STANDARD_FUNCTIONS and name not in ADDED_FUNCTIONS:
            raise ExpressionError(f"'{_truncated(source)}': unknown function '{name}'")
    return CelExpression(source, program, found)


class PathExpression:
    """A plain path, such as `input.x`."""

    def __init__(self, source: str, path: Path) -> None:
        self.source = source
        self.roots = frozenset({path.node})
        self._path = path

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value; None if the node was skipped."""
        value = values[self._path.node]
        if value is None:
            return None
        try:
            return follow(self._path, value)
        except LookupError as error:
            raise ExpressionError(f"'{self.source}': {error.args[0]}") from None

    raw = evaluate


class CelExpression:
    """A CEL program, such as `size(input.x) > 3`."""

    def __init__(self, source: str, program: Program, found: ExpressionAst) -> None:
        self.source = source
        self.reads = node_reads(found)
        self.roots = frozenset(read.node for read in self.reads)
        self.functions = functions_used(program)
        self._program = program
        self._tree = found
        self._variables = CelVariables(self.reads)
        self._chunked = (
            ChunkedExpression.of(source, found, compile_expression) if found.loops else None
        )

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value."""
        return to_json(self.raw(values))

    def raw(self, values: NodeValues) -> Any:
        """Return the value as CEL returns it, such as a datetime."""
        return self.raw_in(new_context(self._variables.of(values), self.functions), values)

    def raw_in(self, context: Context, values: NodeValues) -> Any:
        """Return the value as CEL returns it, using an existing context."""
        try:
            steps = estimate_cost(self._tree, values) if self._tree.loops else 0
            if steps > _WHOLE_LIST_STEPS and self._chunked is not None:
                check_cost(estimate_cost(self._tree, values, chunk_size=CHUNK_SIZE))
                return self._chunked.evaluate(values)
            check_cost(steps)
            return self._program.execute(context)
        except CostLimitError as error:
            raise ExpressionError(f"'{_truncated(self.source)}': {error}") from None
        except CEL_ERRORS as error:
            raise ExpressionError(_message(self.source, error)) from None


class ExpressionMap:
    """Expressions by name, evaluated with one shared context."""

    def __init__(self, expressions: Mapping[str, Expression]) -> None:
        self._expressions = expressions
        programs = [one for one in expressions.values() if isinstance(one, CelExpression)]
        reads = [read for one in programs for read in one.reads]
        self._shared = CelVariables(reads) if len(programs) > 1 else None
        self._functions = {name: f for one in programs for name, f in one.functions.items()}

    def evaluate(self, values: NodeValues) -> dict[str, Any]:
        """Return the values by name.

        Raises:
            ExpressionError: of the first expression that fails.
        """
        if self._shared is None:
            return {name: one.evaluate(values) for name, one in self._expressions.items()}
        context = new_context(self._shared.of(values), self._functions)
        return {
            name: to_json(one.raw_in(context, values))
            if isinstance(one, CelExpression)
            else one.evaluate(values)
            for name, one in self._expressions.items()
        }


def _message(source: str, error: Exception) -> str:
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, KeyError):
        text = f"unknown key {text}"
    elif isinstance(error, TypeError) and text.startswith(("No such overload", "Unsupported")):
        text = _MIXED
    return f"'{_truncated(source)}': {text[:_REASON]}"


def _truncated(source: str) -> str:
    return source if len(source) <= _REASON else f"{source[:_REASON]}…"
