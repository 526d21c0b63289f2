"""Operators that take elements of a tensor by their places, which are in another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes, not_rows
from inference_server.runtime.rows.tensors import ONE, RowAxis, Tensor, tensor, with_entries


def gather(node: Node) -> Tensor:
    """`Gather`."""
    value, indices = node.input(0), node.input(1)
    axis = value.axis(node.integer("axis", 0))
    if value.entries is not None and value.rank == 1 and indices.rank <= 1:
        places = indices.integers()
        count = len(value.entries)
        if places is not None and all(-count <= place < count for place in places):
            part = tuple(value.entries[place] for place in places)
            return with_entries(indices.known_shape, part, value.bits)
    no_sizes(value)
    if value.rows is not None and value.rows.axis == axis and indices.rows is not None:
        return _own_places(value, value.rows, indices, indices.rows)
    no_sizes(indices)
    if value.rows is not None and indices.rows is not None:
        raise MixesRowsError("values of a row choose among those of all rows")
    not_rows(value, axis)
    sizes = [*value.known_shape[:axis], *indices.known_shape, *value.known_shape[axis + 1 :]]
    rows = None
    if indices.rows is not None:
        rows = replace(indices.rows, axis=axis + indices.rows.axis)
    elif value.rows is not None:
        after = value.rows.axis > axis
        rows = replace(value.rows, axis=value.rows.axis + (indices.rank - 1 if after else 0))
    return tensor(sizes, rows)


def _own_places(value: Tensor, rows: RowAxis, indices: Tensor, of_indices: RowAxis) -> Tensor:
    """Return elements of an axis with rows, of which each row takes its own.

    Raises:
        MixesRowsError: an index could be that of a place of another row.
    """
    numbers = indices.numbers
    if numbers is None or numbers.below is None or numbers.in_tuples or rows.outer != ONE:
        raise MixesRowsError("values of a row choose among those of all rows")
    # Row i has the places from i * inner on, and an index of it is i * step and less than `below`.
    if numbers.step != rows.inner or (rows.inner - numbers.below).lowest < 0:
        raise MixesRowsError("an index of a row may be that of another row's place")
    axis, sizes = rows.axis, value.known_shape
    shape = [*sizes[:axis], *indices.known_shape, *sizes[axis + 1 :]]
    return tensor(shape, replace(of_indices, axis=axis + of_indices.axis))


def gather_elements(node: Node) -> Tensor:
    """`GatherElements`."""
    value, indices = node.input(0), node.input(1)
    axis = value.axis(node.integer("axis", 0))
    no_sizes(value, indices)
    not_rows(value, axis)
    if value.rows != indices.rows:
        raise MixesRowsError("its inputs have their rows on different axes")
    return tensor(indices.known_shape, indices.rows)


def gather_tuples(node: Node) -> Tensor:
    """`GatherND`: each index is a tuple along the last axis of the second input."""
    value, indices = node.input(0), node.input(1)
    no_sizes(value)
    batch = node.integer("batch_dims", 0)
    length = indices.known_shape[-1].constant
    if length is None or not 0 <= batch < min(value.rank, indices.rank):
        raise MixesRowsError("its indices are not of the form that is followed")
    outside, tuples = indices.known_shape[:-1], batch + length
    not_rows(indices, indices.rank - 1)
    sizes = [*outside, *value.known_shape[tuples:]]
    rows = indices.rows
    if value.rows is None:
        no_sizes(indices)
        if rows is not None and rows.axis < batch:
            raise MixesRowsError("a constant has another value for each row")
    elif value.rows.axis < batch:
        no_sizes(indices)
        if value.rows != indices.rows:
            raise MixesRowsError("its inputs have their rows on different axes")
    elif value.rows.axis >= tuples:
        no_sizes(indices)
        if rows is not None:
            raise MixesRowsError("values of a row choose among those of all rows")
        rows = replace(value.rows, axis=len(outside) + value.rows.axis - tuples)
    elif value.rows.axis or batch or not value.rows.is_plain or not _begin_with_rows(indices):
        raise MixesRowsError("values of a row choose among those of all rows")
    return tensor(sizes, rows)


def _begin_with_rows(indices: Tensor) -> bool:
    """Whether each tuple begins with the number of its row."""
    return indices.numbers is not None and indices.numbers.in_tuples


RULES: Mapping[str, Rule] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_tuples,
}
