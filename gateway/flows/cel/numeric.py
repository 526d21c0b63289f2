"""Expressions of numbers, such as `input.x * 2` or `model.score > 0.5`. Pure.

Short ones are evaluated on an event loop: each operator takes the same time for any two numbers,
and there are no texts, lists or other functions. The CEL library evaluates them there, too.
Whatever is unusual, a value of another type, a missing one or an error, is left to an evaluator.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gateway.flows.cel.paths import Path, follow, parse_path
from gateway.flows.cel.values import CEL_TYPES, NodeValues

if TYPE_CHECKING:
    from gateway.flows.cel.library import Program

MAX_CHARACTERS = 100
"""Compiling so many takes at most a millisecond, evaluating some microseconds."""
_NUMBERS = (int, float, bool)
_NOT_PATHS = CEL_TYPES | {"true", "false", "null", "in"}
_PIECE = re.compile(
    r"""
    (?:\s|[-+*/%()<>=!&|?:])++
  | (?:double|int)\s*+\(
  | (?P<path>[A-Za-z_][A-Za-z0-9_]*+(?:\.[A-Za-z_][A-Za-z0-9_]*+)*+)(?!\s*+[.(\["'`{])
  | \d++(?:\.\d++)?+(?:[eE][-+]?+\d++)?+(?![\w.])
    """,
    re.VERBOSE,
)


class NeedsEvaluatorError(Exception):
    """An evaluator has to evaluate an expression with these values."""


def numeric_expression(source: str) -> NumericExpression | None:
    """Return an expression of numbers; None for any other, not all of which are valid."""
    if len(source) > MAX_CHARACTERS:
        return None
    paths: dict[str, Path] = {}
    at = 0
    while at < len(source):
        piece = _PIECE.match(source, at)
        if piece is None:
            return None
        at = piece.end()
        name = piece["path"]
        if name is None or name in {"true", "false"}:
            continue
        path = parse_path(name)
        if path is None or path.node in _NOT_PATHS:
            return None
        paths[name] = path
    return NumericExpression(source, list(paths.values()))


class NumericExpression:
    """Operators and conversions of numbers and booleans. Compiled when it is first evaluated."""

    def __init__(self, source: str, paths: list[Path]) -> None:
        """Create one that reads the values at `paths`."""
        self.source = source
        self.roots = frozenset(path.node for path in paths)
        self._paths = paths

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value.

        Raises:
            NeedsEvaluatorError: a value is no number, or the evaluation failed.
        """
        from gateway.flows.cel.library import CEL_ERRORS  # noqa: PLC0415 - few flows need it

        try:
            return self._program.execute(self._variables(values))
        except CEL_ERRORS:
            raise NeedsEvaluatorError from None

    @cached_property
    def _program(self) -> Program:
        from gateway.flows.cel.library import compile_cel  # noqa: PLC0415 - few flows need it

        return compile_cel(self.source)

    def _variables(self, values: NodeValues) -> dict[str, Any]:
        """Return the numbers that are read, where the expression finds them.

        Raises:
            LookupError: one is missing.
            NeedsEvaluatorError: one is no number.
        """
        found: dict[str, Any] = {}
        for path in self._paths:
            value = follow(path, values[path.node])
            if type(value) not in _NUMBERS:
                raise NeedsEvaluatorError
            *above, last = (path.node, *path.names)
            parent = found
            for name in above:
                parent = parent.setdefault(name, {})
            parent[last] = value
        return found
