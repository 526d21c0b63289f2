"""Operators that combine their inputs element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from onnx import TensorProto

from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import (
    ROWS,
    Polynomial,
    is_at_most,
    number,
    quotient,
    symbol,
    unfollowed,
)
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.tensors import (
    INDEX_BITS,
    ONE,
    UNKNOWN_NUMBERS,
    Numbers,
    RowAxis,
    Shape,
    Tensor,
    tensor,
    with_entries,
)

_INTEGER_BITS: Mapping[int, int] = {TensorProto.INT64: 64, TensorProto.INT32: 32}


def broadcast(values: Sequence[Tensor]) -> Tensor:
    """Return the result of an operation on the elements that broadcasting brings together.

    Raises:
        MixesRowsError: rows are not all on one axis, or something else could lie beside them.
    """
    places = {(value.rows.axis - value.rank, value.rows) for value in values if value.rows}
    if not places:
        if any(value.shape is None for value in values):
            return tensor(None)
        return tensor(broadcast_shape([value.known_shape for value in values]))
    places_from_end = {place for place, _ in places}
    layouts = {(rows.outer, rows.inner) for _, rows in places}
    if len(places_from_end) > 1 or len(layouts) > 1:
        raise MixesRowsError("its inputs have their rows on different axes")
    (from_end,) = places_from_end
    for value in values:
        beside = value.rank + from_end
        if value.rows is None and beside >= 0 and value.known_shape[beside] != ONE:
            raise MixesRowsError("a constant has another value for each row")
    shape = broadcast_shape([value.known_shape for value in values])
    ((outer, inner),) = layouts
    return tensor(shape, RowAxis(len(shape) + from_end, outer, inner))


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that results, if the run does not fail."""
    reverse = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=ONE)
    return tuple(_broadcast_size(sizes) for sizes in reverse)[::-1]


def _broadcast_size(sizes: Sequence[Polynomial]) -> Polynomial:
    others = {size for size in sizes if size != ONE}
    if len(others) <= 1:
        return others.pop() if others else ONE
    numbers = [size for size in others if size.constant is not None]
    if len(numbers) == 1:
        return numbers[0]  # the others are as large or 1: neither is larger
    # A part of [0:size] is as large, or 1: as size is then, or the part ends at 1.
    wholes = {size for size in others if not any(is_at_most(size, other) for other in others)}
    if len(wholes) == 1:
        return wholes.pop()
    return unfollowed(None, *sorted(others, key=str))


def elementwise(node: Node) -> Tensor:
    """Any function of the elements at one place.

    Where the numbers of rows are in them, only the shape of the result can be used.
    """
    plain = [replace(value, numbers=None) for value in node.values]
    if any(value.has_sizes for value in plain):
        raise MixesRowsError("the number of rows reaches a value")
    result = broadcast(plain)
    counts = any(value.has_sizes for value in node.values)
    return replace(result, numbers=UNKNOWN_NUMBERS) if counts else result


def like_first(node: Node) -> Tensor:
    """Any function of elements whose result has the shape of the first input.

    Where others are larger, ONNX Runtime's own inference of shapes is wrong about the result.
    """
    value, result = node.input(0), elementwise(node)
    if result.rows != value.rows or result.shape != value.shape:
        raise MixesRowsError("another input is larger than the first")
    return result


Arithmetic = Callable[[Polynomial, Polynomial], Polynomial | None]


def _quotient(left: Polynomial, right: Polynomial) -> Polynomial | None:
    if left.constant is not None and right.constant:
        found = abs(left.constant) // abs(right.constant)  # towards 0
        return number(found if left.constant * right.constant >= 0 else -found)
    exact, divisor = left.divided_by(right), right.constant or 0
    if exact is not None or divisor <= 0 or left.has_rows:
        return exact
    return quotient(left, divisor)


def _remainder(left: Polynomial, right: Polynomial) -> Polynomial | None:
    if left.constant is None or not right.constant:
        return None
    return number(left.constant % right.constant)  # with the sign of the divisor


def _equal(left: Polynomial, right: Polynomial) -> Polynomial | None:
    difference = left - right
    if difference.constant is not None:
        return number(difference.constant == 0)
    return number(0) if difference.lowest > 0 or (-difference).lowest > 0 else None


_ARITHMETIC: Mapping[str, Arithmetic] = {
    "Add": lambda left, right: left + right,
    "Sub": lambda left, right: left - right,
    "Mul": lambda left, right: left * right,
    "Div": _quotient,
    "Equal": _equal,
    "Mod": _remainder,
}


def arithmetic(node: Node) -> Tensor:
    """Sums, products and comparisons, also of sizes."""
    left, right = node.input(0), node.input(1)
    bits = {left.bits, right.bits}
    if left.entries is None or right.entries is None or len(bits) > 1 or 0 in bits:
        return _indices(node, left, right)
    if node.integer("fmod", 0):
        return elementwise(node)
    known = broadcast([replace(left, entries=None), replace(right, entries=None)])
    if known.rank > 1:
        return elementwise(node)
    compute = _ARITHMETIC[node.op]
    count = max(len(left.entries), len(right.entries))
    entries = []
    for a, b in zip(_spread(left, count), _spread(right, count), strict=True):
        entry = compute(a, b) if a is not None and b is not None else None
        if entry is None and any(value is not None and value.has_rows for value in (a, b)):
            raise MixesRowsError("a number is computed from the number of rows")
        entries.append(entry)
    return with_entries(known.known_shape, tuple(entries), 0 if node.op == "Equal" else bits.pop())


def _indices(node: Node, left: Tensor, right: Tensor) -> Tensor:
    """Return sums and multiples of whole numbers that can be indices, as far as they are known."""
    result = elementwise(node)
    of_left, of_right = _known_numbers(left), _known_numbers(right)
    found = None
    if node.op == "Add" and of_left is not None and of_right is not None:
        (step, below), (other_step, other_below) = of_left, of_right
        found = Numbers(step + other_step, below + other_below - ONE)
    elif node.op == "Mul":
        for factor, of in ((left, of_right), (right, of_left)):
            only = factor.entries[0] if factor.entries and len(factor.entries) == 1 else None
            if only is not None and of is not None and only.lowest > 0 and not only.has_rows:
                found = Numbers(of[0] * only, (of[1] - ONE) * only + ONE)
    if found is None or found.below is None:
        return result
    if not (symbol(ROWS) * found.step + found.below).fits(INDEX_BITS):
        return result
    return replace(result, numbers=found)


def _known_numbers(value: Tensor) -> tuple[Polynomial, Polynomial] | None:
    """Return the step and the end of what is known of indices."""
    if value.numbers is not None:
        found = value.numbers
        return None if found.below is None or found.in_tuples else (found.step, found.below)
    if value.bits != INDEX_BITS or value.entries is None or len(value.entries) != 1:
        return None
    (only,) = value.entries
    if only is None or only.has_rows or only.lowest < 0:
        return None
    return number(0), only + ONE


def _spread(value: Tensor, count: int) -> Sequence[Polynomial | None]:
    assert value.entries is not None
    if len(value.entries) == count:
        return value.entries
    if len(value.entries) != 1:
        raise MixesRowsError("its inputs have different sizes")
    return value.entries * count


def where(node: Node) -> Tensor:
    """`Where`, also of sizes by what is known of them."""
    values = _condition, left, right = [node.input(index) for index in range(3)]
    followed = (
        all(value.entries is not None and value.rank <= 1 for value in values)
        and left.bits == right.bits != 0
    )
    if not followed:
        return elementwise(node)
    count = max(len(value.entries or ()) for value in values)
    entries: list[Polynomial | None] = []
    for chosen, a, b in zip(*(_spread(value, count) for value in values), strict=True):
        decided = chosen.constant if chosen is not None else None
        if decided is not None:
            entries.append(a if decided else b)
        elif a == b:
            entries.append(a)
        elif any(value is not None and value.has_rows for value in (chosen, a, b)):
            raise MixesRowsError("a number is computed from the number of rows")
        else:
            entries.append(None)
    shape = broadcast_shape([value.known_shape for value in values])
    return with_entries(shape, tuple(entries), left.bits)


def cast(node: Node) -> Tensor:
    """`Cast`. Sizes remain sizes as 32 or 64 bits, where they fit."""
    value = node.input(0)
    bits = _INTEGER_BITS.get(node.integer("to", 0), 0)
    if value.entries is not None and value.bits and bits:
        return with_entries(value.known_shape, value.entries, bits)
    if value.numbers is not None and bits == INDEX_BITS:
        return value
    return elementwise(node)


def cast_like(node: Node) -> Tensor:
    """`CastLike`, which takes only the data type of its second input."""
    return elementwise(replace(node, inputs=[node.input(0)]))


def identity(node: Node) -> Tensor:
    """What returns its input."""
    return node.input(0)


def dropout(node: Node) -> list[Tensor]:
    """`Dropout`, which does nothing outside of training."""
    if node.has(2) and node.input(2).integers() != [0]:
        raise MixesRowsError("it draws at random, for training")
    value = node.input(0)
    if value.has_sizes:
        raise MixesRowsError("the number of rows reaches a value")
    return [value, replace(value, entries=None, numbers=None)][: node.outputs]


_ELEMENTWISE = (
    "Abs Acos Acosh And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
    "Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish "
    "IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Neg Not Or Pow "
    "Reciprocal RegexFullMatch Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt "
    "StringConcat Sum Tan Tanh ThresholdedRelu Xor"
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), elementwise),
    **dict.fromkeys(_ARITHMETIC, arithmetic),
    **dict.fromkeys(("Clip", "PRelu"), like_first),
    "Where": where,
    "Cast": cast,
    "CastLike": cast_like,
    "Identity": identity,
    "Dropout": dropout,
}
