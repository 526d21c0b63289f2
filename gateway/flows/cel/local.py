"""Expressions that cost nothing: plain paths and constants. Pure.

These, and calculations with numbers (`numeric.py`), are evaluated on an event loop; all others in
an evaluator.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.flows.cel.paths import Path, follow, parse_path
from gateway.flows.cel.tokens import MAX_CHARACTERS
from gateway.flows.cel.values import Expression, ExpressionError, NodeValues

_NAMED = {"true": True, "false": False, "null": None}
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")
_TEXT = re.compile(r'"([^"\\\n]*)"|\'([^\'\\\n]*)\'')


def local_expression(source: str) -> Expression | None:
    """Return a plain path or a constant; None for any other expression."""
    if len(source) > MAX_CHARACTERS:
        return None
    text = source.strip()
    path = None if text in _NAMED else parse_path(text)
    return _constant(source, text) if path is None else PathExpression(source, path)


def _constant(source: str, text: str) -> ConstantExpression | None:
    if text in _NAMED:
        return ConstantExpression(source, _NAMED[text])
    if _INTEGER.fullmatch(text):
        return ConstantExpression(source, int(text))
    if _DECIMAL.fullmatch(text):
        return ConstantExpression(source, float(text))
    quoted = _TEXT.fullmatch(text)
    if quoted is not None and not text.startswith(('"""', "'''")):
        return ConstantExpression(source, text[1:-1])
    return None


class ConstantExpression:
    """A literal, such as `'a'` or `2.5`."""

    def __init__(self, source: str, value: float | str | None) -> None:
        self.source = source
        self.roots: frozenset[str] = frozenset()
        self._value = value

    def evaluate(self, _values: NodeValues) -> Any:
        """Return the value."""
        return self._value


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
            raise ExpressionError(f"'{self.source}': {error.args[0]}", self.roots) from None
