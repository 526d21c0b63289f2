"""How much work an expression could be with the values at hand. Pure.

An upper bound in steps. Sizes are known by level: how large a
value is, how large the largest of its members is, of theirs, and so on. So a loop over rows and,
inside, over a row's cells counts as many steps as there are cells, and not their square.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.flows.outline import (
    LIST_MAKERS,
    Inside,
    Literal,
    Loop,
    Outline,
    Part,
    Pattern,
    Read,
    Together,
)
from gateway.flows.patterns import seconds_to_prepare

MOST_STEPS = 5_000_000
"""A step takes about 60 ns (measured), and nothing else in the process goes on meanwhile."""

_NUMBERS = frozenset({int, float})
_CHARACTERS = 32
"""That are read or copied in one step."""
_PATTERN_SECONDS = 600e-9
"""Of making patterns ready that count as one step: ten times a step's own, for people filter long
lists by them."""


class EffortError(ValueError):
    """An expression would take too long."""


class Level(NamedTuple):
    """The most that a value of one level can be."""

    weight: float
    """Steps to read or copy it, with all that is in it."""
    length: float
    """Members that a loop goes through."""


Sizes = list[Level]
"""By level; below the last one everything is as the last one says."""

_ONE = Level(1, 0)


def check_effort(steps: float) -> None:
    """Refuse what could take more than MOST_STEPS.

    Raises:
        EffortError: with the estimate.
    """
    if steps > MOST_STEPS:
        raise EffortError(
            f"its loops could take {steps:.0e} steps with these values, at most "
            f"{MOST_STEPS:.0e} are allowed: loop over less, or avoid a loop within a loop"
        )


def effort(outline: Outline, values: Mapping[str, Any], *, piece: int | None = None) -> float:
    """Return the most steps that the expression could take (Any: JSON).

    With `piece`, lists that are made outside all other loops are made in pieces of so many values.
    """
    meter = _Meter(values, piece)
    meter.size(outline.whole, {}, 1)
    return meter.steps


def sizes(value: Any) -> Sizes:
    """Return how large `value` is (Any: JSON), by level."""
    levels: list[list[float]] = []
    _measure(value, 0, levels)
    return [Level(weight, length) for weight, length in levels]


def _measure(value: Any, depth: int, levels: list[list[float]]) -> float:
    """Note the value and all that is in it, each at its level; return its weight."""
    if depth == len(levels):
        levels.append([1, 0])
    if isinstance(value, str):
        weight, length = 1 + len(value) / _CHARACTERS, 0
    elif isinstance(value, dict | list | tuple):
        weight, length = 1.0, len(value)
        for member in value.values() if isinstance(value, dict) else value:
            # Most members are numbers, and there are many: they are worth a way of their own.
            if type(member) in _NUMBERS and depth + 1 < len(levels):
                weight += 1
            else:
                weight += _measure(member, depth + 1, levels)
    else:
        return 1
    level = levels[depth]
    level[0] = max(level[0], weight)
    level[1] = max(level[1], length)
    return weight


def _largest(several: Iterable[Sizes]) -> Sizes:
    """Return the largest of each level."""
    known = [one for one in several if one]
    depth = max(map(len, known), default=0)
    padded = ([*one, *[one[-1]] * (depth - len(one))] for one in known)
    return [
        Level(max(w for w, _ in level), max(n for _, n in level))
        for level in zip(*padded, strict=True)
    ]


def _below(whole: Sizes, steps: int) -> Sizes:
    return whole[steps:] or whole[-1:]


class _Meter:
    def __init__(self, values: Mapping[str, Any], piece: int | None) -> None:
        self._values = values
        self._piece = piece
        self._measured: dict[Read, Sizes] = {}
        self.steps = 0.0

    def size(self, part: Part, bound: Mapping[str, Sizes], times: float) -> Sizes:
        """Return how large the part's value may be; count what it takes to make it `times`."""
        found = self._size(part, bound, times)
        self.steps += times * found[0].weight
        return found

    def _size(self, part: Part, bound: Mapping[str, Sizes], times: float) -> Sizes:
        match part:
            case Literal():
                return [_ONE]
            case Pattern():
                self.steps += times * seconds_to_prepare(part.literal) / _PATTERN_SECONDS
                return [_ONE]
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
        weight = 1 + sum(one[0].weight for one in found)
        if part.nested:
            return [Level(weight, len(found)), *_largest(found)]
        # One operand, or all of them joined: any of it may be the value.
        length = sum(one[0].length for one in found)
        return [Level(weight, length), *_largest(one[1:] or one for one in found)]

    def _loop(self, part: Loop, bound: Mapping[str, Sizes], times: float) -> Sizes:
        whole = self.size(part.whole, bound, times)
        count = whole[0].length
        member = {part.variable: _below(whole, 1)}
        inner = self.size(part.body, {**bound, **member}, times * count)
        if part.name not in LIST_MAKERS:
            return [_ONE]
        # The library copies the list that it makes whenever it adds to it.
        copied = count if bound or self._piece is None else self._piece
        self.steps += times * count * copied / 2
        if part.name == "filter":
            return whole
        return [Level(1 + count * inner[0].weight, count), *inner]
