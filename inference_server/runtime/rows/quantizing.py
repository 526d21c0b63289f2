"""Operators of quantised models. Each scale is the same for all rows, and in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inference_server.runtime.rows.broadcasting import broadcast
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.products import (
    convolved,
    first_axis,
    global_pool,
    multiplied,
    pool,
    with_bias,
)
from inference_server.runtime.rows.reducing import softmax
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import (
    concatenated,
    no_sizes,
    not_rows,
    same_for_all,
)
from inference_server.runtime.rows.tensors import ONE, Tensor, tensor

_LEFT, _RIGHT = 0, 3
"""Places of the matrices of QLinearMatMul and QGemm, each with scale and zero point behind it."""


def _single(*values: Tensor | None) -> None:
    """Raise MixesRowsError unless each value is one number, the same for all rows."""
    same_for_all(*values)
    if any(value is not None and value.known_shape not in ((), (ONE,)) for value in values):
        raise MixesRowsError("it has a scale for each row")


def scaled(node: Node) -> Tensor:
    """`QuantizeLinear` and `DequantizeLinear`."""
    value, scale = node.input(0), node.input(1)
    no_sizes(value)
    same_for_all(*node.inputs[1:])
    if node.integer("block_size", 0):
        raise MixesRowsError("scales of blocks are not followed")
    if scale.shape is None or scale.rank:
        if scale.rank != 1:
            raise MixesRowsError("scales of blocks are not followed")
        if scale.known_shape != (ONE,):
            not_rows(value, value.axis(node.integer("axis", 1)))
    return tensor(value.shape, value.rows)


def scaled_for_the_input(node: Node) -> list[Tensor]:
    """`DynamicQuantizeLinear`: one scale over the whole tensor."""
    value = node.input(0)
    if value.rows is not None:
        raise MixesRowsError("it computes one scale over all rows")
    no_sizes(value)
    return [tensor(value.shape), tensor([]), tensor([])][: node.outputs]


def scaled_matrix_product(node: Node) -> Tensor:
    """`QLinearMatMul`."""
    return _scaled_product(node, node.input(_LEFT), node.input(_RIGHT), node.inputs[6:])


def _scaled_product(
    node: Node, left: Tensor, right: Tensor, others: Sequence[Tensor | None]
) -> Tensor:
    """Return a product of matrices, of which one with rows has a single scale."""
    same_for_all(*others)
    for value, place in ((left, _LEFT), (right, _RIGHT)):
        scales = node.inputs[place + 1 : place + 3]
        if value.rows is not None:
            _single(*scales)
        else:
            same_for_all(*scales)
    return multiplied(left, right)


def scaled_convolution(node: Node) -> Tensor:
    """`QLinearConv`."""
    _single(*node.inputs[1:3])
    return convolved(node, node.input(0), node.input(3), node.inputs[4:])


def whole_matrix_product(node: Node) -> Tensor:
    """`MatMulInteger`."""
    _single(node.inputs[2] if node.has(2) else None)
    same_for_all(*node.inputs[3:])
    if node.input(1).rows is not None:
        raise MixesRowsError("its second matrix has rows")
    return multiplied(node.input(0), node.input(1))


def whole_convolution(node: Node) -> Tensor:
    """`ConvInteger`."""
    _single(node.inputs[2] if node.has(2) else None)
    return convolved(node, node.input(0), node.input(1), node.inputs[3:])


def scaled_general_product(node: Node) -> Tensor:
    """`QGemm` of com.microsoft, without transposed inputs of rows."""
    left, right = node.input(_LEFT), node.input(_RIGHT)
    if left.rank != 2 or right.rank != 2 or node.integer("transA", 0):  # noqa: PLR2004
        raise MixesRowsError("its inputs are not followed")
    if right.rows is not None:
        raise MixesRowsError("its second matrix has rows")
    if node.integer("transB", 0):
        right = tensor(right.known_shape[::-1])
    result = _scaled_product(node, left, right, node.inputs[6:])
    return with_bias(result, node.input(6)) if node.has(6) else result


def scaled_elementwise(node: Node) -> Tensor:
    """`QLinearAdd` and `QLinearMul`: each input has its scale and zero point behind it."""
    no_sizes(*node.values)
    _single(*node.inputs[1:3], *node.inputs[4:])
    return broadcast([node.input(_LEFT), node.input(_RIGHT)])


def scaled_function(node: Node) -> Tensor:
    """`QLinearSigmoid` and `QLinearLeakyRelu`."""
    value = node.input(0)
    no_sizes(value)
    _single(*node.inputs[1:])
    return tensor(value.shape, value.rows)


def scaled_global_pool(node: Node) -> Tensor:
    """`QLinearGlobalAveragePool`."""
    if node.integer("channels_last", 0):
        raise MixesRowsError("its layout is not followed")
    first_axis(node.input(0))
    _single(*node.inputs[1:])
    return global_pool(node)


def scaled_softmax(node: Node) -> Tensor:
    """`QLinearSoftmax`, of the version of `Softmax` that its `opset` names."""
    _single(*node.inputs[1:])
    return softmax(node.of_version(node.integer("opset", 1)))


def scaled_pool(node: Node) -> list[Tensor]:
    """`QLinearAveragePool`."""
    if node.integer("channels_last", 0):
        raise MixesRowsError("its layout is not followed")
    _single(*node.inputs[1:])
    return pool(node)


def scaled_concat(node: Node) -> Tensor:
    """`QLinearConcat`: the result's scale and zero point, then three for each input."""
    places = range(2, len(node.inputs), 3)
    _single(*[value for index, value in enumerate(node.inputs) if index not in places])
    return concatenated([node.input(index) for index in places], node.integer("axis", 1))


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), scaled),
    "DynamicQuantizeLinear": scaled_for_the_input,
    "QLinearMatMul": scaled_matrix_product,
    "QLinearConv": scaled_convolution,
    "MatMulInteger": whole_matrix_product,
    "ConvInteger": whole_convolution,
}
MICROSOFT_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), scaled),
    "QGemm": scaled_general_product,
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), scaled_elementwise),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu"), scaled_function),
    "QLinearGlobalAveragePool": scaled_global_pool,
    "QLinearAveragePool": scaled_pool,
    "QLinearConcat": scaled_concat,
    "QLinearSoftmax": scaled_softmax,
}
