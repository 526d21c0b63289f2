"""The functions that expressions may call. Pure.

CEL's own, and a few that flows need and the library does not bring. These are called as
`sum(input.xs)`; what they raise fails the expression.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

STANDARD_FUNCTIONS = frozenset(
    {"bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth"}
    | {"getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes"}
    | {"getMonth", "getSeconds", "hasValue", "int", "matches", "none", "of", "ofNonZeroValue", "or"}
    | {"orValue", "size", "startsWith", "string", "timestamp", "type", "uint", "value"}
)
"""What the library knows. It keeps no list that could be asked for."""


def _argmax(values: list[Any]) -> int:
    """Return the index of the largest value: the first one, where several are."""
    return max(range(len(values)), key=values.__getitem__)


def _round(value: float, digits: int = 0) -> float:
    return float(round(value, digits))


def _join(values: list[Any], between: str = "") -> str:
    return between.join(values)


# Any: values of CEL.
ADDED_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "argmax": _argmax,
    "ceil": math.ceil,
    "floor": math.floor,
    "join": _join,
    "lower": str.lower,
    "max": max,
    "min": min,
    "round": _round,
    "split": str.split,
    "sum": sum,
    "trim": str.strip,
    "upper": str.upper,
}
