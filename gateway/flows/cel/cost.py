"""Estimates the cost of evaluating an expression with given values. Pure.

The estimate is an upper bound in steps. Values are measured by nesting level: the size of the
value, of its largest member, of that member's largest member, and so on. A loop over rows with an
inner loop over the cells of a row therefore costs as many steps as there are cells, not the square.
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
"""One step takes about 60 ns (measured). Evaluation blocks the event loop."""

_NUMBERS = frozenset({int, float})
_CHARACTERS = 32
"""Characters read or copied in one step."""
_PATTERN_SECONDS = 600e-9
"""Compilation time of regular expressions charged as one step: ten times the time of other steps,
as filtering long lists by a pattern is common."""


class CostLimitError(ValueError):
    """The estimated cost of an expression exceeds the limit."""


class LevelSize(NamedTuple):
    """The maximum size of a value at one nesting level."""

    weight: float
    """Steps to read or copy it, nested values included."""
    length: float
    """Members that a loop iterates over."""


Sizes = list[LevelSize]
"""By nesting level; deeper levels are bounded by the last one."""

_SCALAR = LevelSize(1, 0)


def check_cost(steps: float) -> None:
    """Check an estimate against MAX_STEPS.

    Raises:
        CostLimitError: with the estimate.
    """
    if steps > MAX_STEPS:
        raise CostLimitError(
            f"its loops could take {steps:.0e} steps with these values, at most "
            f"{MAX_STEPS:.0e} are allowed: loop over less, or avoid a loop within a loop"
        )


def estimate_cost(
    tree: ExpressionAst, values: Mapping[str, Any], *, chunk_size: int | None = None
) -> float:
    """Return an upper bound of the steps that the expression takes (Any: JSON).

    With `chunk_size`, the outermost `map` and `filter` calls are assumed to be evaluated in chunks.
    """
    estimator = _CostEstimator(values, chunk_size)
    estimator.add(tree.root, {}, 1)
    return estimator.steps


def measure(value: Any) -> Sizes:
    """Measure `value` (Any: JSON) by nesting level."""
    levels: list[list[float]] = []
    _measure(value, 0, levels)
    return [LevelSize(weight, length) for weight, length in levels]


def _measure(value: Any, depth: int, levels: list[list[float]]) -> float:
    """Update `levels` with the value and its members; return its weight."""
    if depth == len(levels):
        levels.append([1, 0])
    if isinstance(value, str):
        weight, length = 1 + len(value) / _CHARACTERS, 0
    elif isinstance(value, dict | list | tuple):
        weight, length = 1.0, len(value)
        for member in value.values() if isinstance(value, dict) else value:
            # Fast path: most members are numbers.
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


def _max_by_level(measure: Iterable[Sizes]) -> Sizes:
    """Return the maximum of each level."""
    known = [one for one in measure if one]
    depth = max(map(len, known), default=0)
    padded = ([*one, *[one[-1]] * (depth - len(one))] for one in known)
    return [
        LevelSize(max(w for w, _ in level), max(n for _, n in level))
        for level in zip(*padded, strict=True)
    ]


def _nested(operand: Sizes, steps: int) -> Sizes:
    return operand[steps:] or operand[-1:]


class _CostEstimator:
    def __init__(self, values: Mapping[str, Any], chunk_size: int | None) -> None:
        self._values = values
        self._chunk_size = chunk_size
        self._measured: dict[Variable, Sizes] = {}
        self.steps = 0.0

    def add(self, node: AstNode, bound: Mapping[str, Sizes], times: float) -> Sizes:
        """Return the size of the node's value; add the steps of evaluating it `times`."""
        found = self._size(node, bound, times)
        self.steps += times * found[0].weight
        return found

    def _size(self, node: AstNode, bound: Mapping[str, Sizes], times: float) -> Sizes:
        match node:
            case Literal():
                return [_SCALAR]
            case Regex():
                self.steps += times * compile_seconds(node.literal) / _PATTERN_SECONDS
                return [_SCALAR]
            case Variable():
                return self._variable(node, bound)
            case Member():
                return _nested(self.add(node.operand, bound, times), node.steps)
            case Group():
                return self._group(node, bound, times)
            case Comprehension():
                return self._comprehension(node, bound, times)

    def _variable(self, node: Variable, bound: Mapping[str, Sizes]) -> Sizes:
        if node.root in bound:
            return _nested(bound[node.root], len(node.names))
        if node not in self._measured:
            value = self._values.get(node.root)
            for name in node.names:
                value = value.get(name) if isinstance(value, dict) else None
            self._measured[node] = measure(value)
        return self._measured[node]

    def _group(self, node: Group, bound: Mapping[str, Sizes], times: float) -> Sizes:
        found = [self.add(one, bound, times) for one in node.nodes]
        weight = 1 + sum(one[0].weight for one in found)
        if node.nested:
            return [LevelSize(weight, len(found)), *_max_by_level(found)]
        # The value may be one of the operands, or their concatenation.
        length = sum(one[0].length for one in found)
        return [LevelSize(weight, length), *_max_by_level(one[1:] or one for one in found)]

    def _comprehension(
        self, node: Comprehension, bound: Mapping[str, Sizes], times: float
    ) -> Sizes:
        operand = self.add(node.operand, bound, times)
        count = operand[0].length
        member = {node.variable: _nested(operand, 1)}
        inner = self.add(node.body, {**bound, **member}, times * count)
        if node.name not in LIST_MACROS:
            return [_SCALAR]
        # The library copies the resulting list for every value it appends.
        copied = count if bound or self._chunk_size is None else self._chunk_size
        self.steps += times * count * copied / 2
        if node.name == "filter":
            return operand
        return [LevelSize(1 + count * inner[0].weight, count), *inner]
