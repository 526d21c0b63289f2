"""Operators that take parts of tensors, or put them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from inference_server.runtime.rows.broadcasting import broadcast_shape
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import Polynomial, number, unfollowed
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.tensors import (
    ONE,
    Entries,
    Numbers,
    RowAxis,
    Tensor,
    row_axis,
    tensor,
    with_entries,
)

_FLOAT_BITS = 25
"""Of whole numbers that multiply as floats without rounding, with their sign."""


def no_sizes(*values: Tensor) -> None:
    """Raise MixesRowsError if the number of rows is in a value."""
    if any(value.has_sizes for value in values):
        raise MixesRowsError("the number of rows reaches a value")


def not_rows(value: Tensor, axis: int) -> None:
    """Raise MixesRowsError if `axis` is that of the rows."""
    if value.rows is not None and value.rows.axis == axis:
        raise MixesRowsError("it works along the rows' axis")


def same_for_all(*values: Tensor | None) -> None:
    """Raise MixesRowsError unless each of them is the same for all rows."""
    for value in values:
        if value is not None and (value.rows is not None or value.has_sizes):
            raise MixesRowsError("what must be the same for all rows is not")


def with_size(value: Tensor, axis: int, size: Polynomial) -> Tensor:
    """Return what a tensor becomes whose other axes remain as they are."""
    sizes = list(value.known_shape)
    sizes[axis] = size
    return tensor(sizes, value.rows)


def concat(node: Node) -> Tensor:
    """`Concat`."""
    return concatenated(node.values, node.integer("axis", 1))


def concatenated(values: Sequence[Tensor], along: int) -> Tensor:
    """Return tensors put together along an axis.

    Raises:
        MixesRowsError: it is that of the rows, or a constant comes beside them.
    """
    axis = values[0].axis(along)
    if all(value.rank == 1 and value.rows is None for value in values):
        parts = [_entries(value) for value in values]
        if None not in parts:
            entries = tuple(entry for part in parts for entry in part or ())
            bits = {value.bits for value in values if value.entries is not None}
            if len(bits) <= 1:
                return with_entries([number(len(entries))], entries, bits.pop() if bits else 0)
    first, *others = values
    if first.numbers == Numbers(ONE, ONE) and axis == first.rank - 1 and others:
        plain = concatenated([replace(first, numbers=None), *others], along)
        if first.known_shape[axis] == ONE:
            return replace(plain, numbers=Numbers(ONE, ONE, in_tuples=True))
    no_sizes(*values)
    rows = row_axis(values)
    if rows is not None and any(value.rows is None for value in values):
        raise MixesRowsError("it puts a constant beside rows")
    for value in values:
        not_rows(value, axis)
    total = number(0)
    for value in values:
        total += value.known_shape[axis]
    shapes = [[*value.known_shape[:axis], ONE, *value.known_shape[axis + 1 :]] for value in values]
    sizes = list(broadcast_shape([tuple(shape) for shape in shapes]))
    sizes[axis] = total
    return tensor(sizes, rows)


def _entries(value: Tensor) -> Entries | None:
    """Return the entries of a list of which at least the length is known."""
    length = value.known_shape[0].constant
    if value.entries is not None:
        return value.entries
    return (None,) * length if length is not None and length <= 16 else None  # noqa: PLR2004


def split(node: Node) -> list[Tensor]:
    """`Split`."""
    value = node.input(0)
    axis = value.axis(node.integer("axis", 0))
    lengths = node.numbers(1, "split")
    whole = value.known_shape[axis].constant
    if lengths is None and whole is not None and whole % node.outputs == 0:
        lengths = [whole // node.outputs] * node.outputs
    if value.entries is not None and value.rank == 1 and lengths is not None:
        return _split_entries(value, value.entries, lengths)
    no_sizes(value)
    not_rows(value, axis)
    if lengths is not None and len(lengths) == node.outputs:
        sizes = [number(length) for length in lengths]
    else:
        sizes = [unfollowed(node.name, index) for index in range(node.outputs)]
    return [with_size(value, axis, size) for size in sizes]


def _split_entries(value: Tensor, entries: Entries, lengths: Sequence[int]) -> list[Tensor]:
    if min(lengths, default=0) < 0 or sum(lengths) != len(entries):
        raise MixesRowsError("its parts are not all of its input")
    ends = list(accumulate(lengths))
    return [
        with_entries([number(length)], entries[end - length : end], value.bits)
        for end, length in zip(ends, lengths, strict=True)
    ]


def pad(node: Node) -> Tensor:
    """`Pad`."""
    value = node.input(0)
    no_sizes(value)
    same_for_all(*node.inputs[1:])
    pads = node.numbers(1, "pads")
    if pads is None:
        raise MixesRowsError("it has no pads")
    axes = list(range(value.rank))
    if node.has(3):
        listed = node.input(3).integers()
        if listed is None:
            raise MixesRowsError("its axes are not known before a run")
        axes = [value.axis(axis) for axis in listed]
    if len(pads) != 2 * len(axes) or len(set(axes)) < len(axes):
        raise MixesRowsError("it has not two pads for each axis")
    sizes = list(value.known_shape)
    for axis, begin, end in zip(axes, pads, pads[len(axes) :], strict=False):
        if begin or end:
            not_rows(value, axis)
            sizes[axis] = sizes[axis] + number(begin + end)
    return tensor(sizes, value.rows)


def one_hot(node: Node) -> Tensor:
    """`OneHot`."""
    indices = node.input(0)
    no_sizes(indices)
    same_for_all(node.input(1), node.input(2))
    axis = node.integer("axis", -1)
    axis = axis + indices.rank + 1 if axis < 0 else axis
    if not 0 <= axis <= indices.rank:
        raise MixesRowsError(f"it has no axis {axis}")
    depth = node.input(1).integers()
    size = number(depth[0]) if depth else unfollowed(node.name)
    sizes = [*indices.known_shape[:axis], size, *indices.known_shape[axis:]]
    rows = indices.rows
    if rows is not None and axis <= rows.axis:
        rows = replace(rows, axis=rows.axis + 1)
    return tensor(sizes, rows)


def resize(node: Node) -> Tensor:
    """`Resize`, of other axes than that of the rows."""
    value = node.input(0)
    no_sizes(value)
    same_for_all(*node.inputs[1:3])
    sizes = _resized(node, value)
    if value.rows is None:
        same_for_all(*node.inputs)
        return tensor(sizes)
    # ONNX Runtime interpolates linearly over all axes of fewer than four, also by a factor of 1.
    if value.rank not in (4, 5) or value.rows.axis != 0:
        raise MixesRowsError("it may interpolate between rows")
    if node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        raise MixesRowsError("it takes a part of all axes")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if node.has_attribute("axes") or node.integer("antialias", 0) or policy != "stretch":
        raise MixesRowsError("it has options that are not followed")
    factors, wanted = (node.input(index) if node.has(index) else None for index in (2, 3))
    first = next((part.entries[0] for part in (wanted, factors) if part and part.entries), None)
    if first is None or first not in (ONE, value.rows.size) or (first == ONE) != (not wanted):
        raise MixesRowsError("it may change the number of rows")
    others = wanted.entries[1:] if wanted is not None and wanted.entries else ()
    if any(part is not None and part.has_rows for part in others):
        raise MixesRowsError("the number of rows is in several sizes of its result")
    return tensor([value.rows.size, *sizes[1:]], value.rows)


def _resized(node: Node, value: Tensor) -> list[Polynomial]:
    """Return the sizes that are asked for, or result from whole factors."""
    factors, wanted = (node.input(index) if node.has(index) else None for index in (2, 3))
    usual = node.text("keep_aspect_ratio_policy", "stretch") == "stretch"
    usual = usual and not node.has_attribute("axes")
    usual = usual and node.text("coordinate_transformation_mode", "") != "tf_crop_and_resize"
    sizes = []
    for axis, size in enumerate(value.known_shape):
        found = None
        if usual and wanted is not None and wanted.entries:
            found = wanted.entries[axis]
        elif usual and factors is not None and factors.entries:
            factor = factors.entries[axis]
            found = size * factor if factor is not None else None
        is_known = (
            found is not None
            and found.lowest >= 0
            and not found.has_rows
            and found.fits(_FLOAT_BITS)
        )
        sizes.append(found if found is not None and is_known else unfollowed(node.name, axis))
    return sizes


def tile(node: Node) -> Tensor:
    """`Tile`: repeats the whole tensor."""
    value, repeats = node.input(0), node.input(1)
    no_sizes(value)
    if repeats.entries is None or len(repeats.entries) != value.rank or None in repeats.entries:
        if value.rows is None and repeats.rows is None and not repeats.has_sizes:
            return tensor(None)
        raise MixesRowsError("it is not known how often it repeats")
    counts = [entry for entry in repeats.entries if entry is not None]
    sizes = [size * count for size, count in zip(value.known_shape, counts, strict=True)]
    if value.rows is not None:
        if any(count.has_rows for count in counts):
            raise MixesRowsError("it repeats rows")
        outer = value.rows.outer * counts[value.rows.axis]
        return tensor(sizes, replace(value.rows, outer=outer))
    places = [axis for axis, count in enumerate(counts) if count.has_rows]
    if not places:
        return tensor(sizes)
    per_row = counts[places[0]].per_row()
    if len(places) > 1 or per_row is None:
        raise MixesRowsError("the number of rows is in several sizes of its result")
    inner = per_row * value.known_shape[places[0]]
    return tensor(sizes, RowAxis(places[0], ONE, inner))


def upper_triangle(node: Node) -> Tensor:
    """`Trilu`: sets elements beside a diagonal of the last two axes to 0."""
    value = node.input(0)
    no_sizes(value)
    same_for_all(*node.inputs[1:])
    for axis in (-1, -2):
        not_rows(value, value.axis(axis))
    return tensor(value.shape, value.rows)


def space_to_depth(node: Node) -> Tensor:
    """`SpaceToDepth` and `DepthToSpace`: move elements between the axes of an image."""
    value = node.input(0)
    no_sizes(value)
    for axis in range(1, value.rank):
        not_rows(value, axis)
    sizes = [unfollowed(node.name, axis) for axis in range(value.rank)]
    return tensor([value.known_shape[0], *sizes[1:]], value.rows)


RULES: Mapping[str, Rule] = {
    "Concat": concat,
    "Split": split,
    "Pad": pad,
    "OneHot": one_hot,
    "Resize": resize,
    "Tile": tile,
    "Trilu": upper_triangle,
    "SpaceToDepth": space_to_depth,
    "DepthToSpace": space_to_depth,
}
