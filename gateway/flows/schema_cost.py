"""How much work checking one value by a schema may be. Pure.

A schema of a few hundred bytes can ask for 2^30 checks, by definitions that each refer twice to
the next. Nothing else in the process goes on meanwhile, so that checks are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import orjson

MAX_STEPS = 250_000
"""A step is one word of the schema at one value: some 8 µs."""
SECONDS_PER_STEP = 8e-6
_REFERENCES = frozenset({"$ref", "$dynamicRef"})
_STEPS_OF_A_REFERENCE = 5
_COMPARED = frozenset({"const", "enum"})
_BYTES = 200
"""That are compared in one step."""
_MEMBERS = 4
"""Of an array or object that are passed on to be checked in one step."""
_PAIRS = 200
"""Of members that are compared with each other in one step."""

_left: ContextVar[float] = ContextVar("steps that are left of a check")

# Any, here and below: JSON, and what the library hands over
Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class SchemaCostError(Exception):
    """A check that would take too long."""


def reset_budget() -> None:
    """Count from zero: a value is about to be checked."""
    _left.set(MAX_STEPS)


def charge(steps: float) -> None:
    """Count what is about to be done.

    Raises:
        TooMuchEffortError: it is more than is left.
    """
    left = _left.get(MAX_STEPS) - steps
    if left < 0:
        raise SchemaCostError
    _left.set(left)


def with_cost(keywords: Mapping[str, Keyword]) -> dict[str, Keyword]:
    """Return the schema's words by name, each of which counts before it checks."""
    return {name: _counted(name, check) for name, check in keywords.items()}


def _counted(name: str, check: Keyword) -> Keyword:
    def count(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        charge(_steps(name, value, instance))
        return check(validator, value, instance, schema)

    return count


def _steps(name: str, value: Any, instance: Any) -> float:
    if name in _REFERENCES:
        return _STEPS_OF_A_REFERENCE
    if name in _COMPARED:
        return 1 + len(orjson.dumps(value)) / _BYTES
    size = len(instance) if isinstance(instance, list | dict) else 0
    if name.startswith("unevaluated"):  # each member is looked for among those that were checked
        return 1 + size * size / _PAIRS
    members = len(value) if isinstance(value, list | dict) else 0
    return 1 + (size + members) / _MEMBERS
