"""Templates: text with expressions, such as `https://example.com/users/{{ input.id }}`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from gateway.flows.cel.values import Expression, ExpressionError, NodeValues
from protos.non_finite import as_strings

_PART = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def split_template(text: str) -> Sequence[str]:
    """Split into text, expression, text, expression, …, text."""
    return _PART.split(text)


class Template:
    """A compiled template."""

    def __init__(self, texts: Sequence[str], expressions: Sequence[Expression]) -> None:
        """Create a template from the texts around the expressions and the expressions."""
        self._texts = texts
        self._expressions = expressions
        self.roots = frozenset[str]().union(*(one.roots for one in expressions))
        """The nodes that it reads."""

    def render(self, values: NodeValues, quote: Callable[[str], str] | None = None) -> str:
        """Insert the values, each quoted by `quote`.

        Raises:
            ExpressionError: a value is null, or its evaluation failed.
        """
        parts = [self._texts[0]]
        for expression, text in zip(self._expressions, self._texts[1:], strict=True):
            value = _text(expression.evaluate(values), expression)
            parts.append(quote(value) if quote else value)
            parts.append(text)
        return "".join(parts)


def _text(value: Any, expression: Expression) -> str:
    value = as_strings(value)
    if isinstance(value, str):
        return value
    if value is None:
        message = f"'{expression.source.strip()}' is null: expected a value to insert"
        raise ExpressionError(message, expression.roots)
    return orjson.dumps(value).decode()
