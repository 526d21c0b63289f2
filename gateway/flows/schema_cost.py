"""Limits the work of validating one value against a schema. Pure.

A schema of a few hundred bytes can demand 2^30 checks, with definitions that each refer twice to
the next one. Validation blocks the event loop, so every check is charged to a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import orjson

MAX_STEPS = 250_000
"""One step is one keyword applied to one value: about 8 µs."""
SECONDS_PER_STEP = 8e-6
_REFERENCES = frozenset({"$ref", "$dynamicRef"})
_STEPS_PER_REFERENCE = 5
_COMPARED = frozenset({"const", "enum"})
_BYTES_PER_STEP = 200
"""Bytes compared in one step."""
_MEMBERS_PER_STEP = 4
"""Members of an array or object visited in one step."""
_PAIRS_PER_STEP = 200
"""Pairs of members compared in one step."""

_left: ContextVar[float] = ContextVar("steps left for the current validation")

# Any, here and below: JSON, and the library's own objects
Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class SchemaCostError(Exception):
    """The validation exceeds its budget."""


def reset_budget() -> None:
    """Start the budget of a new validation."""
    _left.set(MAX_STEPS)


def charge(steps: float) -> None:
    """Charge `steps` to the budget.

    Raises:
        SchemaCostError: the budget is exhausted.
    """
    left = _left.get(MAX_STEPS) - steps
    if left < 0:
        raise SchemaCostError
    _left.set(left)


def with_cost(keywords: Mapping[str, Keyword]) -> dict[str, Keyword]:
    """Wrap validator functions by keyword so that each charges its cost first."""
    return {name: _charged(name, check) for name, check in keywords.items()}


def _charged(name: str, check: Keyword) -> Keyword:
    def charged(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        charge(_cost(name, value, instance))
        return check(validator, value, instance, schema)

    return charged


def _cost(name: str, value: Any, instance: Any) -> float:
    if name in _REFERENCES:
        return _STEPS_PER_REFERENCE
    if name in _COMPARED:
        return 1 + len(orjson.dumps(value)) / _BYTES_PER_STEP
    size = len(instance) if isinstance(instance, list | dict) else 0
    if name.startswith("unevaluated"):  # each member is searched among the evaluated ones
        return 1 + size * size / _PAIRS_PER_STEP
    members = len(value) if isinstance(value, list | dict) else 0
    return 1 + (size + members) / _MEMBERS_PER_STEP
