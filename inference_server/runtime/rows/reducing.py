"""Operators that compute along axes, which must not be that of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_server.runtime.rows.broadcasting import broadcast
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import number, product, unfollowed
from inference_server.runtime.rows.products import first_axis
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import (
    no_sizes,
    not_rows,
    same_for_all,
    with_size,
)
from inference_server.runtime.rows.tensors import ONE, Numbers, Tensor, tensor, with_entries

_SOFTMAX_OF_ONE_AXIS = 13
"""The version from which on Softmax works along one axis, and not along all from one on."""
_INFERENCE_BATCH_NORMALIZATION = 7
"""The version from which on BatchNormalization does not depend on an attribute `is_test`."""


def before(value: Tensor, axis: int) -> None:
    """Raise MixesRowsError unless the rows are on an axis before `axis`."""
    no_sizes(value)
    if value.rows is not None and value.rows.axis >= axis:
        raise MixesRowsError("it works along the rows' axis")


def softmax(node: Node) -> Tensor:
    """`Softmax` and its kind."""
    value = node.input(0)
    no_sizes(value)
    if value.rows is None:
        return tensor(value.shape)
    if node.version < _SOFTMAX_OF_ONE_AXIS:
        before(value, value.axis(node.integer("axis", 1)))
    else:
        not_rows(value, value.axis(node.integer("axis", -1)))
    return tensor(value.known_shape, value.rows)


def reduce(node: Node) -> Tensor:
    """`ReduceSum` and the like."""
    value = node.input(0)
    axes = node.numbers(1, "axes")
    if not axes and node.integer("noop_with_empty_axes", 0):
        no_sizes(value)
        return tensor(value.shape, value.rows)
    if node.op == "ReduceProd" and value.entries and None not in value.entries and value.rank == 1:
        total = product(entry for entry in value.entries if entry is not None)
        return with_entries([ONE] * node.integer("keepdims", 1), (total,), value.bits)
    no_sizes(value)
    if not axes:
        if value.rows is not None:
            raise MixesRowsError("it adds up over all axes")
        axes = list(range(value.rank))
    return _reduced(value, [value.axis(axis) for axis in axes], keep=node.integer("keepdims", 1))


def _reduced(value: Tensor, axes: Sequence[int], *, keep: int) -> Tensor:
    for axis in axes:
        not_rows(value, axis)
    sizes = value.known_shape
    if keep:
        return tensor(
            [ONE if axis in axes else size for axis, size in enumerate(sizes)], value.rows
        )
    rows = value.rows
    if rows is not None:
        rows = replace(rows, axis=rows.axis - sum(axis < rows.axis for axis in axes))
    return tensor([size for axis, size in enumerate(sizes) if axis not in axes], rows)


def arg_max(node: Node) -> Tensor:
    """`ArgMax` and `ArgMin`."""
    value = node.input(0)
    no_sizes(value)
    axis = value.axis(node.integer("axis", 0))
    found = _reduced(value, [axis], keep=node.integer("keepdims", 1))
    return replace(found, numbers=Numbers(number(0), value.known_shape[axis]))


def top_k(node: Node) -> list[Tensor]:
    """`TopK`."""
    value = node.input(0)
    no_sizes(value)
    axis = value.axis(node.integer("axis", -1))
    not_rows(value, axis)
    count = node.input(1) if node.has(1) else None
    same_for_all(count)
    known = count.integers() if count is not None else [node.integer("k", 0)]
    found = with_size(value, axis, number(known[0]) if known else unfollowed(node.name))
    return [found, found][: node.outputs]


def cumulative(node: Node) -> Tensor:
    """`CumSum`."""
    value = node.input(0)
    no_sizes(value)
    axis = node.input(1).integers()
    if value.rows is not None:
        if axis is None or len(axis) != 1:
            raise MixesRowsError("its axis is not known before a run")
        not_rows(value, value.axis(axis[0]))
    same_for_all(node.input(1))
    return tensor(value.shape, value.rows)


def layer_normalization(node: Node) -> list[Tensor]:
    """`LayerNormalization` and `RMSNormalization`."""
    value = node.input(0)
    axis = value.axis(node.integer("axis", -1))
    before(value, axis)
    same_for_all(*node.inputs[1:])
    for part in node.values[1:]:
        if broadcast([value, part]).rank > value.rank:
            raise MixesRowsError("its scale has more axes than its input")
    shape = [ONE if place >= axis else size for place, size in enumerate(value.known_shape)]
    whole = tensor(value.known_shape, value.rows)
    return [whole, tensor(shape, value.rows), tensor(shape, value.rows)][: node.outputs]


def batch_normalization(node: Node) -> Tensor:
    """`BatchNormalization` with the statistics that are in the model."""
    value = node.input(0)
    if node.version < _INFERENCE_BATCH_NORMALIZATION:
        raise MixesRowsError("its version is not followed")
    if node.integer("training_mode", 0) or node.outputs > 1:
        raise MixesRowsError("it takes the mean over the rows")
    return _by_channel(node, value)


def _by_channel(node: Node, value: Tensor) -> Tensor:
    """Return what an operator makes of the channels of each row: the rows' axis is the first."""
    first_axis(value)
    same_for_all(*node.inputs[1:])
    return tensor(value.shape, value.rows)


def by_channel(node: Node) -> Tensor:
    """`InstanceNormalization`, `GroupNormalization` and `LRN`."""
    return _by_channel(node, node.input(0))


def norm(node: Node) -> Tensor:
    """`LpNormalization`."""
    value = node.input(0)
    no_sizes(value)
    not_rows(value, value.axis(node.integer("axis", -1)))
    return tensor(value.known_shape, value.rows)


def mean_variance(node: Node) -> Tensor:
    """`MeanVarianceNormalization`."""
    value = node.input(0)
    no_sizes(value)
    for axis in node.integers("axes") or [0, 2, 3]:
        not_rows(value, value.axis(axis))
    return tensor(value.known_shape, value.rows)


_REDUCTIONS = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare"
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), softmax),
    **dict.fromkeys(_REDUCTIONS.split(), reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), arg_max),
    "TopK": top_k,
    "CumSum": cumulative,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layer_normalization),
    "BatchNormalization": batch_normalization,
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LRN"), by_channel),
    "LpNormalization": norm,
    "MeanVarianceNormalization": mean_variance,
}
