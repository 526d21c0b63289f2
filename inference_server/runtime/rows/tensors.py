"""What is known of a tensor: its sizes, where its rows are, and some of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference_server.runtime.rows.polynomials import ROWS, Polynomial, number, product, symbol
from inference_server.runtime.rows.refusal import MixesRowsError

MAX_RANK = 12
MAX_ENTRIES = 256
"""Numbers of a tensor that are followed."""
ONE = number(1)
INDEX_BITS = 64
"""Of whole numbers that are followed as indices."""

Shape = tuple[Polynomial, ...]
Entries = tuple[Polynomial | None, ...]


@dataclass(frozen=True, slots=True)
class RowAxis:
    """Which axis has the rows, and how.

    The axis has `outer` * N * `inner` places. What is at place (o * N + i) * `inner` + j depends on
    row i of the inputs alone, in the same way for every i and N. So Reshape can merge the rows with
    other axes and take them apart again.
    """

    axis: int
    outer: Polynomial = ONE
    inner: Polynomial = ONE

    @property
    def size(self) -> Polynomial:
        """Places of the axis."""
        return self.outer * symbol(ROWS) * self.inner

    @property
    def is_plain(self) -> bool:
        """Whether the axis has one place for each row."""
        return self.outer == ONE == self.inner


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is known of whole numbers of 64 bits that can choose places: indices.

    Each is `step` * i + a rest, where i is the number of its row, from 0, and the rest is from 0 to
    `below` - 1.

    Attributes:
        step: 0 if the row's number is not in them.
        below: None if it is not known how the row's number is in them.
        in_tuples: whether this is of the first number of each tuple along the last axis; the
            others do not contain the row's number.
    """

    step: Polynomial
    below: Polynomial | None
    in_tuples: bool = False

    @property
    def count_rows(self) -> bool:
        """Whether a row's number may be in them."""
        return self.below is None or bool(self.step.terms)


UNKNOWN_NUMBERS = Numbers(number(0), None)
"""Of which only the shape can be used."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of a tensor, for every number of rows.

    Attributes:
        shape: its sizes; None if not even its rank is known.
        rows: its row axis; None if it is the same for all rows and every number of rows, but for
            `entries`.
        entries: the numbers of a small tensor that shapes are computed from; None for one that is
            not known. Only they may contain the number of rows, and then the tensor is `sizes`.
        bits: of each number, if they are integers: 32 or 64. Otherwise 0.
        is_sequence: whether it is a sequence of maps, one for each row.
        numbers: what is known of whole numbers that can be indices.
    """

    shape: Shape | None
    rows: RowAxis | None = None
    entries: Entries | None = None
    bits: int = 0
    is_sequence: bool = False
    numbers: Numbers | None = None

    @property
    def has_sizes(self) -> bool:
        """Whether the number of rows is among its entries, or the number of each row in them."""
        if self.numbers is not None and self.numbers.count_rows:
            return True
        return self.entries is not None and any(
            entry is not None and entry.has_rows for entry in self.entries
        )

    @property
    def known_shape(self) -> Shape:
        """Its shape; raises MixesRowsError if that is not known."""
        if self.shape is None:
            raise MixesRowsError("the shape of an input is not known")
        return self.shape

    @property
    def rank(self) -> int:
        """Number of axes; raises as `known_shape`."""
        return len(self.known_shape)

    def axis(self, index: int) -> int:
        """Return an axis that may be counted from the end."""
        if not -self.rank <= index < self.rank:
            raise MixesRowsError(f"it has no axis {index}")
        return index % self.rank

    def integers(self) -> list[int] | None:
        """Return its numbers if all are known, and do not depend on any size."""
        if self.entries is None:
            return None
        constants = [entry.constant if entry is not None else None for entry in self.entries]
        return (
            [value for value in constants if value is not None] if None not in constants else None
        )


def tensor(shape: Sequence[Polynomial] | None, rows: RowAxis | None = None) -> Tensor:
    """Return a tensor of this shape without known entries.

    Raises:
        MixesRowsError: the number of rows is in another size than that of the row axis.
    """
    if shape is None:
        if rows is not None:
            raise MixesRowsError("the shape of its result is not known")
        return Tensor(None)
    if len(shape) > MAX_RANK:
        raise MixesRowsError(f"a tensor has more than {MAX_RANK} axes")
    for axis, size in enumerate(shape):
        if rows is not None and axis == rows.axis:
            if size != rows.size:
                raise MixesRowsError("its result has not one part for each row")
        elif size.has_rows:
            raise MixesRowsError("the number of rows is in several sizes of its result")
    return Tensor(tuple(shape), rows)


def with_entries(shape: Sequence[Polynomial], entries: Entries, bits: int) -> Tensor:
    """Return a tensor with known entries: integers of so many bits, or other numbers (0).

    Raises:
        MixesRowsError: there are too many, or one could wrap around, and rows are counted in them.
    """
    kept: list[Polynomial | None] = []
    for entry in entries:
        if entry is not None and bits and not entry.fits(bits):
            if entry.has_rows:
                raise MixesRowsError("a size could be too large for its data type")
            entry = None  # noqa: PLW2901 - what it wraps around to is not followed
        kept.append(entry)
    found = Tensor(tuple(shape), None, tuple(kept), bits)
    if len(kept) > MAX_ENTRIES:
        if found.has_sizes:
            raise MixesRowsError(f"more than {MAX_ENTRIES} sizes are computed at once")
        return replace(found, entries=None)
    return found


def elements(value: Tensor) -> Polynomial:
    """Return how many elements it has."""
    return product(value.known_shape)


def moved(value: Tensor, result: Tensor) -> Tensor:
    """Return `result`, whose elements are those of `value` at other places, with their numbers.

    Raises:
        MixesRowsError: there are sizes in `value`, or tuples.
    """
    numbers = value.numbers
    if replace(value, numbers=None).has_sizes or (numbers is not None and numbers.in_tuples):
        raise MixesRowsError("the number of rows reaches a value")
    return replace(result, numbers=numbers)


def row_axis(values: Sequence[Tensor]) -> RowAxis | None:
    """Return the row axis of those that have one, all at the same place; None if none has.

    Raises:
        MixesRowsError: they have their rows in different places.
    """
    found = {value.rows for value in values if value.rows is not None}
    if len(found) > 1:
        raise MixesRowsError("its inputs have their rows on different axes")
    return found.pop() if found else None
