"""How much work an expression could be with the values at hand. Pure.

An upper bound in steps. Sizes are known by level: how large a
value is, how large the largest of its members is, of theirs, and so on. So a loop over rows and,
inside, over a row's cells counts as many steps as there are cells, and not their square.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.flows.cel.ast import (
    LIST_MACROS,
    AstNode,
    Comprehension,
    ExpressionAst,
    Group,
    Literal,
    Member,
    Regex,
    Variable,
)
from gateway.flows.cel.regex import compile_seconds

MAX_STEPS = 5_000_000
"""A step takes about 60 ns (measured), and nothing else in the process goes on meanwhile."""

_NUMBERS = frozenset({int, float})
_CHARACTERS = 32
"""That are read or copied in one step."""
_PATTERN_SECONDS = 600e-9
"""Of making patterns ready that count as one step: ten times a step's own, for people filter long
lists by them."""


class CostLimitError(ValueError):
    """An expression would take too long."""


class LevelSize(NamedTuple):
    """The most that a value of one level can be."""

    weight: float
    """Steps to read or copy it, with all that is in it."""
    length: float
    """Members that a loop goes through."""


Sizes = list[LevelSize]
"""By level; below the last one everything is as the last one says."""

_SCALAR = LevelSize(1, 0)


def check_cost(steps: float) -> None:
    """Refuse what could take more than MAX_STEPS.

    Raises:
        EffortError: with the estimate.
    """
    if steps > MAX_STEPS:
        raise CostLimitError(
            f"its loops could take {steps:.0e} steps with these values, at most "
            f"{MAX_STEPS:.0e} are allowed: loop over less, or avoid a loop within a loop"
        )


def estimate_cost(
    outline: ExpressionAst, values: Mapping[str, Any], *, piece: int | None = None
) -> float:
    """Return the most steps that the expression could take (Any: JSON).

    With `piece`, lists that are made outside all other loops are made in pieces of so many values.
    """
    meter = _CostEstimator(values, piece)
    meter.size(outline.whole, {}, 1)
    return meter.steps


def measure(value: Any) -> Sizes:
    """Return how large `value` is (Any: JSON), by level."""
    levels: list[list[float]] = []
    _measure(value, 0, levels)
    return [LevelSize(weight, length) for weight, length in levels]


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


def _max_by_level(several: Iterable[Sizes]) -> Sizes:
    """Return the largest of each level."""
    known = [one for one in several if one]
    depth = max(map(len, known), default=0)
    padded = ([*one, *[one[-1]] * (depth - len(one))] for one in known)
    return [
        LevelSize(max(w for w, _ in level), max(n for _, n in level))
        for level in zip(*padded, strict=True)
    ]


def _nested(whole: Sizes, steps: int) -> Sizes:
    return whole[steps:] or whole[-1:]


class _CostEstimator:
    def __init__(self, values: Mapping[str, Any], piece: int | None) -> None:
        self._values = values
        self._piece = piece
        self._measured: dict[Variable, Sizes] = {}
        self.steps = 0.0

    def size(self, part: AstNode, bound: Mapping[str, Sizes], times: float) -> Sizes:
        """Return how large the part's value may be; count what it takes to make it `times`."""
        found = self._size(part, bound, times)
        self.steps += times * found[0].weight
        return found

    def _size(self, part: AstNode, bound: Mapping[str, Sizes], times: float) -> Sizes:
        match part:
            case Literal():
                return [_SCALAR]
            case Regex():
                self.steps += times * compile_seconds(part.literal) / _PATTERN_SECONDS
                return [_SCALAR]
            case Variable():
                return self._read(part, bound)
            case Member():
                return _nested(self.size(part.whole, bound, times), part.steps)
            case Group():
                return self._together(part, bound, times)
            case Comprehension():
                return self._loop(part, bound, times)

    def _read(self, part: Variable, bound: Mapping[str, Sizes]) -> Sizes:
        if part.root in bound:
            return _nested(bound[part.root], len(part.names))
        if part not in self._measured:
            value = self._values.get(part.root)
            for name in part.names:
                value = value.get(name) if isinstance(value, dict) else None
            self._measured[part] = measure(value)
        return self._measured[part]

    def _together(self, part: Group, bound: Mapping[str, Sizes], times: float) -> Sizes:
        found = [self.size(one, bound, times) for one in part.parts]
        weight = 1 + sum(one[0].weight for one in found)
        if part.nested:
            return [LevelSize(weight, len(found)), *_max_by_level(found)]
        # One operand, or all of them joined: any of it may be the value.
        length = sum(one[0].length for one in found)
        return [LevelSize(weight, length), *_max_by_level(one[1:] or one for one in found)]

    def _loop(self, part: Comprehension, bound: Mapping[str, Sizes], times: float) -> Sizes:
        whole = self.size(part.whole, bound, times)
        count = whole[0].length
        member = {part.variable: _nested(whole, 1)}
        inner = self.size(part.body, {**bound, **member}, times * count)
        if part.name not in LIST_MACROS:
            return [_SCALAR]
        # The library copies the list that it makes whenever it adds to it.
        copied = count if bound or self._piece is None else self._piece
        self.steps += times * count * copied / 2
        if part.name == "filter":
            return whole
        return [LevelSize(1 + count * inner[0].weight, count), *inner]
