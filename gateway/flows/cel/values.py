"""Values of expressions, and what an expression is. Pure; does not import the CEL library."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol

CEL_TYPES = frozenset(
    {"bool", "bytes", "double", "google", "int", "list", "map", "null_type", "optional", "string"}
    | {"type", "uint"}
)
"""Type names, which are identifiers in CEL."""

NodeValues = Mapping[str, Any]
"""Output by node id. Any: JSON; None for a node that was skipped or failed."""

INPUT_DATA = ""
"""The key of the call's input in NodeValues; no node has this id."""


class ExpressionError(Exception):
    """An expression that cannot be compiled or evaluated; the message names it and the reason.

    Attributes:
        reads: the nodes whose values it was evaluated with. Unknown names are found when it is
            compiled, so if it reads any, a value is missing, or one that it cannot compute with.
    """

    def __init__(self, message: str, reads: Collection[str] = ()) -> None:
        super().__init__(message)
        self.reads = frozenset(reads)


class Expression(Protocol):
    """A compiled expression: a path, a constant or a CEL program."""

    source: str
    roots: frozenset[str]
    """The ids of the nodes that it reads."""

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value as JSON, in which NaN and infinities are possible.

        Raises:
            ExpressionError: the evaluation failed.
        """
        ...


class ExpressionMap:
    """Expressions by name."""

    def __init__(self, expressions: Mapping[str, Expression]) -> None:
        self._expressions = expressions

    def evaluate(self, values: NodeValues) -> dict[str, Any]:
        """Return the values by name.

        Raises:
            ExpressionError: of the first expression that fails.
        """
        return {name: one.evaluate(values) for name, one in self._expressions.items()}


def finite_number(value: Any) -> float | None:
    """Return `value` if it is a finite number and not a boolean, otherwise None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
