"""Text with expressions in it: `https://example.com/users/{{ input.id }}`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from gateway.flows.cel.values import Expression, ExpressionError, NodeValues

_PART = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def split_template(text: str) -> Sequence[str]:
    """Return text, expression, text, expression, …, text."""
    return _PART.split(text)


class Template:
    """A template whose expressions are compiled."""

    def __init__(self, texts: Sequence[str], expressions: Sequence[Expression]) -> None:
        """Take what stands before, between and after the expressions, and these."""
        self._texts = texts
        self._expressions = expressions

    def render(self, values: NodeValues, quote: Callable[[str], str] | None = None) -> str:
        """Return the text with values in place, each as `quote` writes it.

        Raises:
            ExpressionError: a value is null, or there is none.
        """
        parts = [self._texts[0]]
        for expression, text in zip(self._expressions, self._texts[1:], strict=True):
            value = _text(expression.evaluate(values), expression.source)
            parts.append(quote(value) if quote else value)
            parts.append(text)
        return "".join(parts)


def _text(value: Any, source: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise ExpressionError(f"'{source.strip()}' is null: there is nothing to write")
    return orjson.dumps(value).decode()
