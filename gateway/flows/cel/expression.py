"""Compiles and evaluates CEL programs, in an evaluator. Pure.

Errors that do not depend on values are found at compile time: syntax, unknown functions, length and
depth. All others are an `ExpressionError` at run time.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.flows.cel.chunked_eval import ChunkedExpression, Operand
from gateway.flows.cel.conversion import CelValues, to_json
from gateway.flows.cel.library import (
    ADDED_FUNCTIONS,
    CEL_ERRORS,
    STANDARD_FUNCTIONS,
    Program,
    compile_cel,
)
from gateway.flows.cel.local import local_expression
from gateway.flows.cel.tokens import ExpressionTooLongError, Token, loop_variables, tokenize
from gateway.flows.cel.values import CEL_TYPES, Expression, ExpressionError, NodeValues

_REASON = 300
_NO_OVERLOAD = re.compile(r"Undefined variable or function: ('\w+')")
"""How the library reports values of other types than a function takes; names are checked before."""
_MIXED = (
    "the operand types do not match; CEL does not mix integers and doubles: write "
    "double(input.x) * 2.0 if input.x may be either"
)


def compile_expression(source: str) -> Expression:
    """Compile `source`.

    Raises:
        ExpressionError: not valid CEL, or a call of an unknown function.
    """
    return local_expression(source) or _compile(source)


def _compile(source: str) -> CelExpression:
    try:
        tokens = tokenize(source)
        program = compile_cel(source)
    except ExpressionTooLongError as error:
        raise ExpressionError(f"'{_truncated(source)}': {error}") from None
    except CEL_ERRORS as error:
        raise ExpressionError(_message(source, error)) from None
    for name in program.functions():
        if name[0].isalpha() and name not in STANDARD_FUNCTIONS and name not in ADDED_FUNCTIONS:
            raise ExpressionError(f"'{_truncated(source)}': unknown function '{name}'")
    return CelExpression(source, program, tokens)


class CelExpression:
    """A CEL program, such as `size(input.x) > 3`."""

    def __init__(self, source: str, program: Program, tokens: list[Token]) -> None:
        self.source = source
        self.roots = frozenset(program.variables()) - CEL_TYPES - loop_variables(tokens)
        self._program = program
        self._chunked = ChunkedExpression.of(source, tokens, self._operand)

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value."""
        return to_json(self.raw(CelValues.of(values)))

    def raw(self, values: CelValues) -> Any:
        """Return the value as CEL returns it, such as a datetime."""
        try:
            if self._chunked is not None:
                return self._chunked.evaluate(values)
            return self._program.execute(values.context)
        except CEL_ERRORS as error:
            if "MemoryError" in str(error):  # of a function that the library has called
                raise MemoryError from None
            raise ExpressionError(_message(self.source, error), self.roots) from None

    @staticmethod
    def _operand(source: str) -> Operand:
        local = local_expression(source)
        return _compile(source).raw if local is None else local.evaluate


def _message(source: str, error: Exception) -> str:
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    overload = _NO_OVERLOAD.match(text)
    if isinstance(error, KeyError):
        text = f"unknown key {text}"
    elif isinstance(error, TypeError) and text.startswith(("No such overload", "Unsupported")):
        text = _MIXED
    elif overload is not None:
        text = f"{overload[1]} does not take values of these types"
    return f"'{_truncated(source)}': {text[:_REASON]}"


def _truncated(source: str) -> str:
    return source if len(source) <= _REASON else f"{source[:_REASON]}…"
