"""Operators that compute shapes, or give a tensor another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_server.runtime.rows.broadcasting import broadcast_shape
from inference_server.runtime.rows.nodes import Node, Rule, constant
from inference_server.runtime.rows.polynomials import Polynomial, number, product, unfollowed
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.tensors import (
    INDEX_BITS,
    MAX_ENTRIES,
    ONE,
    UNKNOWN_NUMBERS,
    Numbers,
    RowAxis,
    Shape,
    Tensor,
    elements,
    moved,
    tensor,
    with_entries,
)


def shape(node: Node) -> Tensor:
    """`Shape`."""
    sizes = node.input(0).known_shape
    chosen = sizes[slice(node.integer("start", 0), node.integer("end", len(sizes)))]
    return with_entries([number(len(chosen))], chosen, 64)


def size(node: Node) -> Tensor:
    """`Size`."""
    return with_entries([], (elements(node.input(0)),), 64)


def reshape(node: Node) -> Tensor:
    """`Reshape`."""
    value, target = node.input(0), node.input(1)
    if target.entries is None:
        if value.rows is None and target.rows is None and not value.has_sizes:
            return tensor(None)
        raise MixesRowsError("its shape is not known before a run")
    sizes = _target(value, target.entries, copies=not node.integer("allowzero", 0))
    return _reshaped(node, value, sizes)


def flatten(node: Node) -> Tensor:
    """`Flatten`."""
    value = node.input(0)
    axis = node.integer("axis", 1)
    axis = axis + value.rank if axis < 0 else axis
    if not 0 <= axis <= value.rank:
        raise MixesRowsError(f"it has no axis {axis}")
    sizes = value.known_shape
    return _reshaped(node, value, [product(sizes[:axis]), product(sizes[axis:])])


def _target(
    value: Tensor, entries: Sequence[Polynomial | None], *, copies: bool
) -> Sequence[Polynomial | None]:
    """Return the sizes that a target shape stands for; None for one that is not known."""
    found: list[Polynomial | None] = []
    inferred: list[int] = []
    for index, entry in enumerate(entries):
        if entry is not None and entry.constant == -1:
            inferred.append(index)
            found.append(None)
        elif entry is not None and entry.constant == 0 and copies:
            found.append(value.known_shape[index] if index < value.rank else None)
        elif entry is not None and (entry.lowest > 0 or entry.constant == 0):
            found.append(entry)
        else:  # it may be 0 or -1, and then stand for another size
            if value.rows is not None or value.has_sizes:
                raise MixesRowsError("its shape is not known before a run")
            found.append(None)
    if len(inferred) == 1 and value.shape is not None:
        (index,) = inferred
        others = [size for place, size in enumerate(found) if place != index]
        if None not in others:
            rest = product(size for size in others if size is not None)
            found[index] = elements(value).divided_by(rest)
    return found


def _reshaped(node: Node, value: Tensor, sizes: Sequence[Polynomial | None]) -> Tensor:
    """Return `value` in another shape, in which its rows are still apart."""
    if value.entries is not None and len(sizes) <= 1:
        known = [size if size is not None else number(len(value.entries)) for size in sizes]
        return with_entries(known, value.entries, value.bits)
    new_shape = [
        size if size is not None else unfollowed(node.name, index)
        for index, size in enumerate(sizes)
    ]
    if value.rows is None:
        return moved(value, tensor(new_shape))
    rows = value.rows
    places = [index for index, size in enumerate(new_shape) if size.has_rows]
    if len(places) != 1:
        raise MixesRowsError("it is not known where its rows are in the new shape")
    (axis,) = places
    # An unlike number of elements would not always fail: ONNX Runtime may put -1 in place of a size
    # that is computed from the input's.
    if None in sizes or product(new_shape) != elements(value):
        raise MixesRowsError("it is not known whether the new shape has as many elements")
    # Row-major order: the rows stay apart if what lies before them has as many elements.
    outside = product(value.known_shape[: rows.axis]) * rows.outer
    outer = outside.divided_by(product(new_shape[:axis]))
    per_row = new_shape[axis].per_row()
    inner = per_row.divided_by(outer) if per_row is not None and outer is not None else None
    if outer is None or inner is None:
        raise MixesRowsError("the new shape takes rows apart")
    return moved(value, tensor(new_shape, RowAxis(axis, outer, inner)))


def squeeze(node: Node) -> Tensor:
    """`Squeeze`, of given axes."""
    value = node.input(0)
    listed = node.numbers(1, "axes")
    if listed is None:
        if value.rows is not None:
            raise MixesRowsError("without axes it removes the rows' axis if there is one row")
        if any(size.constant is None for size in value.known_shape):
            return tensor(None)
        listed = [axis for axis, size in enumerate(value.known_shape) if size == ONE]
    axes = {value.axis(axis) for axis in listed}
    kept = [axis for axis in range(value.rank) if axis not in axes]
    return _rearranged(value, kept, [value.known_shape[axis] for axis in kept])


def unsqueeze(node: Node) -> Tensor:
    """`Unsqueeze`."""
    value = node.input(0)
    listed = node.numbers(1, "axes")
    if listed is None:
        raise MixesRowsError("it has no axes")
    rank = value.rank + len(listed)
    new = {axis % rank for axis in listed if -rank <= axis < rank}
    if len(new) < len(listed):
        raise MixesRowsError("its axes are not distinct")
    old = iter(range(value.rank))
    sources = [None if axis in new else next(old) for axis in range(rank)]
    sizes = [ONE if axis is None else value.known_shape[axis] for axis in sources]
    return _rearranged(value, sources, sizes)


def transpose(node: Node) -> Tensor:
    """`Transpose`."""
    value = node.input(0)
    if value.shape is None:
        return tensor(None)
    order = node.integers("perm") or list(range(value.rank))[::-1]
    if sorted(order) != list(range(value.rank)):
        raise MixesRowsError("its perm is not one of its axes")
    return _rearranged(value, order, [value.known_shape[axis] for axis in order])


def _rearranged(
    value: Tensor, sources: Sequence[int | None], sizes: Sequence[Polynomial]
) -> Tensor:
    """Return `value` with the axes `sources`, None for new ones; no element changes its place."""
    if value.entries is not None and len(sizes) <= 1 and value.rank <= 1:
        return with_entries(sizes, value.entries, value.bits)
    if value.rows is None:
        return moved(value, tensor(sizes))
    if value.rows.axis not in sources:
        raise MixesRowsError("it removes the rows' axis")
    rows = replace(value.rows, axis=sources.index(value.rows.axis))
    return moved(value, tensor(sizes, rows))


def _sizes(node: Node, value: Tensor) -> Shape:
    """Return a shape that a tensor holds; a size that is not known becomes one of its own."""
    if value.entries is None:
        raise MixesRowsError("a shape is not known before a run")
    sizes = []
    for index, entry in enumerate(value.entries):
        if entry is not None and entry.lowest >= 0:
            sizes.append(entry)
        elif entry is None or not entry.has_rows:
            sizes.append(unfollowed(node.name, index))
        else:
            raise MixesRowsError("a size could be negative for few rows")
    return tuple(sizes)


def expand(node: Node) -> Tensor:
    """`Expand`: repeats along axes of size 1, and along new ones."""
    value, target = node.input(0), node.input(1)
    return moved(value, _expanded(node, value, target))


def _expanded(node: Node, value: Tensor, target: Tensor) -> Tensor:
    if target.entries is None and value.rows is None and target.rows is None:
        return tensor(None)
    if target.entries is not None and None in target.entries:
        if value.rows is None and not target.has_sizes:
            return tensor(None)
        raise MixesRowsError("its shape is not known before a run")
    wanted = _sizes(node, target)
    if value.rows is not None:
        return _expanded_rows(value, value.rows, wanted)
    places = [index for index, size in enumerate(wanted) if size.has_rows]
    if not places:
        return tensor(broadcast_shape([value.known_shape, wanted]))
    axis = places[0] - len(wanted)
    if value.rank + axis >= 0 and value.known_shape[axis] != ONE:
        raise MixesRowsError("a constant has another value for each row")
    per_row = wanted[places[0]].per_row()
    if len(places) > 1 or per_row is None:
        raise MixesRowsError("the number of rows is in several sizes of its result")
    result = broadcast_shape([value.known_shape, wanted])
    return tensor(result, RowAxis(len(result) + axis, ONE, per_row))


def _expanded_rows(value: Tensor, rows: RowAxis, wanted: Shape) -> Tensor:
    from_end = rows.axis - value.rank
    if len(wanted) + from_end >= 0 and wanted[from_end] not in (ONE, rows.size):
        raise MixesRowsError("it repeats rows")
    result = broadcast_shape([value.known_shape, wanted])
    return tensor(result, replace(rows, axis=len(result) + from_end))


def constant_of_shape(node: Node) -> Tensor:
    """`ConstantOfShape`."""
    target = node.input(0)
    if target.entries is None:
        if target.rows is None:
            return tensor(None)
        raise MixesRowsError("its shape is not known before a run")
    wanted = _sizes(node, target)
    places = [index for index, size in enumerate(wanted) if size.has_rows]
    if places:
        per_row = wanted[places[0]].per_row()
        if len(places) > 1 or per_row is None:
            raise MixesRowsError("the number of rows is in several sizes of its result")
        return tensor(wanted, RowAxis(places[0], ONE, per_row))
    count = product(wanted).constant
    value = node.attributes.get("value")
    if value is not None and len(wanted) <= 1 and count is not None and 0 <= count <= MAX_ENTRIES:
        fill = constant(value.t)
        if fill.entries is not None and len(fill.entries) == 1:
            return with_entries(wanted, fill.entries * count, fill.bits)
    return tensor(wanted)


def number_range(node: Node) -> Tensor:
    """`Range`."""
    if any(value.rows is not None for value in node.values):
        raise MixesRowsError("its length depends on what a caller sends")
    start, limit, step = (node.input(index) for index in range(3))
    if start.bits and start.entries and limit.entries and step.integers() == [1]:
        first, last = start.entries[0], limit.entries[0]
        if first is not None and last is not None and (last - first).lowest >= 0:
            return _counted(first, last, start.bits)
    if any(value.has_sizes for value in node.values):
        raise MixesRowsError("it counts rows in a way that is not followed")
    return tensor([unfollowed(node.name)])


def _counted(first: Polynomial, last: Polynomial, bits: int) -> Tensor:
    """Return the numbers from one to before another; those of rows are not values, but indices."""
    per_row = last.per_row()
    if first.constant == 0 and per_row is not None and per_row.lowest > 0:
        numbers = Numbers(per_row, per_row) if bits == INDEX_BITS else UNKNOWN_NUMBERS
        return replace(tensor([last], RowAxis(0, ONE, per_row)), numbers=numbers)
    if first.has_rows or last.has_rows:
        raise MixesRowsError("it counts rows in a way that is not followed")
    is_index = bits == INDEX_BITS and first.lowest >= 0
    return replace(tensor([last - first]), numbers=Numbers(number(0), last) if is_index else None)


RULES: Mapping[str, Rule] = {
    "Shape": shape,
    "Size": size,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "ConstantOfShape": constant_of_shape,
    "Range": number_range,
}
