"""Matrix products, convolutions, pools and recurrent operators: they add up over axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_server.runtime.rows.broadcasting import broadcast
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import Polynomial, number, quotient, unfollowed
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes, same_for_all
from inference_server.runtime.rows.tensors import ONE, Tensor, tensor

_MATRIX_RANK = 2


def matrix_product(node: Node) -> Tensor:
    """`MatMul`."""
    return multiplied(node.input(0), node.input(1))


def multiplied(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product of two tensors, over the axes before the last two.

    Raises:
        MixesRowsError: it adds up over rows.
    """
    no_sizes(left, right)
    if left.shape is None or right.shape is None:
        same_for_all(left, right)
        return tensor(None)
    if not left.rank or not right.rank:
        raise MixesRowsError("an input has no axis")
    wide = left if left.rank > 1 else _with_axis(left, 0)
    tall = right if right.rank > 1 else _with_axis(right, 1)
    if wide.rows is not None and wide.rows.axis == wide.rank - 1:
        raise MixesRowsError("it adds up over rows")
    if tall.rows is not None and tall.rows.axis == tall.rank - 2:
        raise MixesRowsError("it adds up over rows")
    # As operations on elements of [..., rows of left, 1] and [..., 1, columns of right].
    outer = broadcast([_with_one(wide, wide.rank - 1), _with_one(tall, tall.rank - 2)])
    result = outer
    if right.rank == 1:
        result = _without_axis(result, result.rank - 1)
    if left.rank == 1:
        result = _without_axis(result, result.rank - (1 if right.rank == 1 else _MATRIX_RANK))
    return result


def _with_axis(value: Tensor, axis: int) -> Tensor:
    """Return a vector as a matrix with a new axis of size 1."""
    sizes = list(value.known_shape)
    sizes.insert(axis, ONE)
    rows = value.rows
    if rows is not None and axis <= rows.axis:
        rows = replace(rows, axis=rows.axis + 1)
    return tensor(sizes, rows)


def _with_one(value: Tensor, axis: int) -> Tensor:
    """Return a tensor with one element along an axis, which is not that of its rows."""
    sizes = list(value.known_shape)
    sizes[axis] = ONE
    return tensor(sizes, value.rows)


def _without_axis(value: Tensor, axis: int) -> Tensor:
    """Return a tensor without an axis that has one element, and is not that of its rows."""
    if value.rows is not None and value.rows.axis == axis:
        raise MixesRowsError("it adds up over rows")
    sizes = [*value.known_shape[:axis], *value.known_shape[axis + 1 :]]
    rows = value.rows
    if rows is not None and rows.axis > axis:
        rows = replace(rows, axis=rows.axis - 1)
    return tensor(sizes, rows)


def fused_matrix_product(node: Node) -> Tensor:
    """`FusedMatMul` of com.microsoft: of matrices whose last two axes may be turned."""
    left, right = node.input(0), node.input(1)
    if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
        raise MixesRowsError("it turns axes before the last two")
    pair = []
    for value, name in ((left, "transA"), (right, "transB")):
        no_sizes(value)
        if node.integer(name, 0) and value.rank < _MATRIX_RANK:
            raise MixesRowsError("an input is not a matrix")
        pair.append(_with_last_turned(value) if node.integer(name, 0) else value)
    return multiplied(*pair)


def _with_last_turned(value: Tensor) -> Tensor:
    last, rows = value.rank - 1, value.rows
    sizes = [*value.known_shape[:-2], value.known_shape[-1], value.known_shape[-2]]
    if rows is not None and rows.axis >= last - 1:
        rows = replace(rows, axis=last - 1 if rows.axis == last else last)
    return tensor(sizes, rows)


def general_product(node: Node) -> Tensor:
    """`Gemm`."""
    left = _turned(node.input(0), turn=bool(node.integer("transA", 0)))
    right = _turned(node.input(1), turn=bool(node.integer("transB", 0)))
    result = multiplied(left, right)
    return with_bias(result, node.input(2)) if node.has(2) else result


def with_bias(result: Tensor, bias: Tensor) -> Tensor:
    """Return a product to which a bias is added, which has at most its shape.

    Raises:
        MixesRowsError: it could be larger, or has another value for each row.
    """
    no_sizes(bias)
    summed = broadcast([result, bias])
    if summed.rows != result.rows or summed.shape != result.shape:
        raise MixesRowsError("its bias is larger than its product")
    return summed


def _turned(value: Tensor, *, turn: bool) -> Tensor:
    no_sizes(value)
    if value.rank != _MATRIX_RANK:
        raise MixesRowsError("an input is not a matrix")
    if not turn:
        return value
    rows = value.rows
    return tensor(value.known_shape[::-1], rows and replace(rows, axis=1 - rows.axis))


def first_axis(value: Tensor) -> None:
    """Raise MixesRowsError if the rows of a value are not on its first axis."""
    no_sizes(value)
    if value.rows is not None and value.rows.axis:
        raise MixesRowsError("its rows are not on the first axis")


def convolution(node: Node) -> Tensor:
    """`Conv`, and those for integers with the same first inputs."""
    return convolved(node, node.input(0), node.input(1), node.inputs[2:])


def convolved(
    node: Node, value: Tensor, weights: Tensor, others: Sequence[Tensor | None]
) -> Tensor:
    """Return the result of a convolution, whose `others` must be the same for all rows."""
    first_axis(value)
    same_for_all(weights, *others)
    if weights.rank != value.rank:
        raise MixesRowsError("its weights have another rank than its input")
    kernel = [size.constant for size in weights.known_shape[2:]]
    return _swept(node, value, weights.known_shape[0], kernel)


def transposed_convolution(node: Node) -> Tensor:
    """`ConvTranspose`."""
    value, weights = node.input(0), node.input(1)
    first_axis(value)
    same_for_all(*node.inputs[1:])
    channels = weights.known_shape[1] * number(node.integer("group", 1))
    kernel = [size.constant for size in weights.known_shape[2:]]
    sizes = [
        _spread_size(node, axis, len(kernel), size, window)
        for axis, (size, window) in enumerate(zip(value.known_shape[2:], kernel, strict=True))
    ]
    return tensor([value.known_shape[0], channels, *sizes], value.rows)


def _spread_size(
    node: Node, axis: int, axes: int, size: Polynomial, window: int | None
) -> Polynomial:
    """Return the size of one of `axes` after each of its places is spread over a kernel.

    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html has the formula.
    """
    strides = node.integers("strides") or [1] * axes
    dilations = node.integers("dilations") or [1] * axes
    pads = node.integers("pads") or [0] * axes * 2
    more = node.integers("output_padding") or [0] * axes
    usual = len(strides) == len(dilations) == len(more) == axes and len(pads) == 2 * axes
    unusual = node.text("auto_pad", "NOTSET") != "NOTSET" or node.has_attribute("output_shape")
    if window is None or not usual or unusual:
        return unfollowed(node.name, axis)
    reach = dilations[axis] * (window - 1) + 1
    found = (size - ONE) * number(strides[axis]) + number(
        reach + more[axis] - pads[axis] - pads[axis + axes]
    )
    return found if found.lowest >= 0 else unfollowed(node.name, axis)


def pool(node: Node) -> list[Tensor]:
    """`AveragePool`, `MaxPool` and `LpPool`; the indices of the second count over all rows."""
    value = node.input(0)
    first_axis(value)
    kernel = node.integers("kernel_shape") or []
    if not kernel or len(kernel) != value.rank - 2:
        raise MixesRowsError("its kernel has another rank than its input")
    if node.outputs > 1 and value.rows is not None:
        raise MixesRowsError("its indices count over all rows")
    result = _swept(node, value, value.known_shape[1], list(kernel))
    return [result, tensor(None)][: node.outputs]


def _swept(node: Node, value: Tensor, channels: Polynomial, kernel: list[int | None]) -> Tensor:
    """Return what a kernel that moves over the axes from the third on makes of a tensor."""
    sizes = [
        _swept_size(node, axis, len(kernel), size, window)
        for axis, (size, window) in enumerate(zip(value.known_shape[2:], kernel, strict=True))
    ]
    return tensor([value.known_shape[0], channels, *sizes], value.rows)


def _swept_size(
    node: Node, axis: int, axes: int, size: Polynomial, window: int | None
) -> Polynomial:
    """Return the size of one of `axes` after a kernel of so many places has moved along it.

    https://onnx.ai/onnx/operators/onnx__Conv.html has the formula.
    """
    way, whole = node.text("auto_pad", "NOTSET"), size.constant
    strides = node.integers("strides") or [1] * axes
    dilations = node.integers("dilations") or [1] * axes
    pads = node.integers("pads") or [0] * axes * 2
    usual = len(strides) == len(dilations) == axes and len(pads) == 2 * axes
    if window is None or not usual or node.integer("ceil_mode", 0):
        return unfollowed(node.name, axis)
    if way.startswith("SAME"):
        if whole is None:
            return unfollowed(node.name, axis)
        return number(-(-whole // strides[axis]))
    around = pads[axis] + pads[axis + axes] if way == "NOTSET" else 0
    reach = dilations[axis] * (window - 1) + 1
    moves = quotient(size + number(around - reach), strides[axis])
    return unfollowed(node.name, axis) if moves is None else moves + ONE


def global_pool(node: Node) -> Tensor:
    """`GlobalAveragePool` and the like."""
    value = node.input(0)
    first_axis(value)
    return tensor([*value.known_shape[:2], *[ONE] * (value.rank - 2)], value.rows)


def recurrent(node: Node) -> list[Tensor]:
    """`LSTM`, `GRU` and `RNN`: [steps, rows, features]."""
    value = node.input(0)
    if node.integer("layout", 0):
        raise MixesRowsError("its layout is not followed")
    no_sizes(*node.values)
    if value.rows is None:
        same_for_all(*node.inputs)
        return [tensor(None)] * node.outputs
    weights = [node.inputs[index] for index in (1, 2, 3, 7) if index < len(node.inputs)]
    same_for_all(*weights)
    lengths = node.inputs[4] if node.has(4) else None
    states = [node.inputs[index] for index in (5, 6) if node.has(index)]
    axes = [(value, 1), *((state, 1) for state in states), *([(lengths, 0)] if lengths else [])]
    for part, axis in axes:
        if part is None or part.rows is None or part.rows != replace(value.rows, axis=axis):
            raise MixesRowsError("its rows are not on the axis of the batch")
    steps, batch = value.known_shape[:2]
    directions, features = node.input(2).known_shape[0], node.input(2).known_shape[2]
    every = tensor([steps, directions, batch, features], replace(value.rows, axis=2))
    last = tensor([directions, batch, features], replace(value.rows, axis=1))
    return [every, last, last][: node.outputs]


RULES: Mapping[str, Rule] = {
    "MatMul": matrix_product,
    "Gemm": general_product,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), global_pool),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
}
