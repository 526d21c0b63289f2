"""How much work an expression could be with the values at hand. Pure.

An upper bound in steps, each a fraction of a microsecond. Sizes are known by level: how large a
value is, how large the largest of its members is, of theirs, and so on. So a loop over rows and,
inside, over a row's cells counts as many steps as there are cells, and not their square.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.outline import Inside, Literal, Loop, Outline, Part, Read, Together

MOST_STEPS = 2_000_000

_CHARACTERS = 32
"""That are read or copied in one step."""

Sizes = list[float]
"""By level; below the last one everything has the size of the last."""


class EffortError(ValueError):
    """An expression would take too long."""


def check_effort(outline: Outline, values: Mapping[str, Any]) -> None:
    """Refuse a loop that could take more than MOST_STEPS (Any: JSON).

    Raises:
        EffortError: with the estimate.
    """
    if not outline.loops:
        return
    meter = _Meter(values)
    meter.size(outline.whole, {}, 1)
    if meter.steps > MOST_STEPS:
        raise EffortError(
            f"its loops could take {meter.steps:.0e} steps with these values, at most "
            f"{MOST_STEPS:.0e} are allowed: loop over less, or avoid a loop within a loop"
        )


def sizes(value: Any) -> Sizes:
    """Return how large `value` is (Any: JSON), by level."""
    if isinstance(value, str):
        return [1 + len(value) / _CHARACTERS]
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple):
        return [1]
    total, deeper = 1.0, [1.0] if value else []
    for member in members:
        if isinstance(member, float | int):
            total += 1
            continue
        inner = sizes(member)
        total += inner[0]
        deeper = _merged(deeper, inner)
    return [total, *deeper]


def _merged(one: Sizes, other: Sizes) -> Sizes:
    """Return the larger size of each level."""
    if len(one) < len(other):
        one, other = other, one
    last = other[-1] if other else 0.0
    padded = [*other, *[last] * (len(one) - len(other))]
    return [max(pair) for pair in zip(one, padded, strict=True)]


def _below(whole: Sizes, steps: int) -> Sizes:
    return whole[steps:] or whole[-1:]


class _Meter:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._measured: dict[Read, Sizes] = {}
        self.steps = 0.0

    def size(self, part: Part, bound: Mapping[str, Sizes], times: float) -> Sizes:
        """Return how large the part's value may be; count what it takes to make it `times`."""
        found = self._size(part, bound, times)
        self.steps += times * found[0]
        return found

    def _size(self, part: Part, bound: Mapping[str, Sizes], times: float) -> Sizes:
        match part:
            case Literal():
                return [1]
            case Read():
                return self._read(part, bound)
            case Inside():
                return _below(self.size(part.whole, bound, times), part.steps)
            case Together():
                return self._together(part, bound, times)
            case Loop():
                return self._loop(part, bound, times)

    def _read(self, part: Read, bound: Mapping[str, Sizes]) -> Sizes:
        if part.root in bound:
            return _below(bound[part.root], len(part.names))
        if part not in self._measured:
            value = self._values.get(part.root)
            for name in part.names:
                value = value.get(name) if isinstance(value, dict) else None
            self._measured[part] = sizes(value)
        return self._measured[part]

    def _together(self, part: Together, bound: Mapping[str, Sizes], times: float) -> Sizes:
        found = [self.size(one, bound, times) for one in part.parts]
        total = 1 + sum(one[0] for one in found)
        merged: Sizes = []
        for one in found:
            merged = _merged(merged, one if part.nested else one[1:] or one)
        return [total, *merged]

    def _loop(self, part: Loop, bound: Mapping[str, Sizes], times: float) -> Sizes:
        whole = self.size(part.whole, bound, times)
        count = whole[0]
        inner = self.size(part.body, {**bound, part.variable: _below(whole, 1)}, times * count)
        return whole if part.keeps else [1 + count * inner[0], *inner]
