"""`Slice`: parts of axes, from one place to before another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import Polynomial, at_most, number, unfollowed
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes, not_rows, same_for_all
from inference_server.runtime.rows.tensors import Entries, Tensor, tensor, with_entries

_END = 2**31 - 1
"""An end of a slice that no axis reaches."""


def slice_(node: Node) -> Tensor:
    """`Slice`."""
    value = node.input(0)
    parts = _parts(node, value)
    if value.entries is not None and value.rank == 1:
        ((_, part),) = parts.items()
        found = part.of(value.entries)
        if found is not None:
            return with_entries([number(len(found))], found, value.bits)
    no_sizes(value)
    sizes = list(value.known_shape)
    for axis, part in parts.items():
        if part.is_whole(sizes[axis]):
            continue
        not_rows(value, axis)
        if part.end is not None and part.end.has_rows:
            raise MixesRowsError("a size is computed from the number of rows")
        sizes[axis] = part.size(sizes[axis]) or unfollowed(node.name, axis)
    return tensor(sizes, value.rows)


def _parts(node: Node, value: Tensor) -> Mapping[int, _Part]:
    """Return which parts `Slice` takes, by axis. The number of rows can be the end of one."""
    starts: Sequence[int | None] | None
    ends: Sequence[Polynomial | None] | None
    if node.has(1):
        ends = node.input(2).entries
        same_for_all(*node.inputs[1:2], replace(node.input(2), entries=None), *node.inputs[3:])
        starts = node.input(1).integers()
        axes, steps = (node.input(at).integers() if node.has(at) else None for at in (3, 4))
        if (axes is None and node.has(3)) or (steps is None and node.has(4)):
            raise MixesRowsError("its axes or steps are not known before a run")
        count = node.input(1).known_shape[0].constant
    else:
        starts, listed, axes = (node.integers(name) for name in ("starts", "ends", "axes"))
        ends = tuple(map(number, listed)) if listed is not None else None
        steps, count = None, len(starts or ())
    if count is None:
        raise MixesRowsError("it is not known which axes it takes parts of")
    chosen = [value.axis(axis) for axis in (range(count) if axes is None else axes)]
    unknown: list[None] = [None] * count
    starts, ends = starts or unknown, ends or unknown
    steps = [1] * count if steps is None else steps
    if len(set(chosen)) < count or {len(starts), len(ends), len(steps)} != {len(chosen)}:
        raise MixesRowsError("it has not one start for each axis")
    return dict(zip(chosen, map(_Part, starts, ends, steps), strict=True))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an axis that `Slice` takes; None for what is not known."""

    start: int | None
    end: Polynomial | None
    step: int

    def of(self, entries: Entries) -> Entries | None:
        """Return this part of a list, if it is known."""
        end = self.end.constant if self.end is not None else None
        if self.start is None or end is None or self.step < 0:
            return None
        return entries[slice(self.start, end, self.step)]

    def is_whole(self, size: Polynomial) -> bool:
        """Whether it is all of an axis of this size."""
        if self.start != 0 or self.step != 1 or self.end is None:
            return False
        return self.end == size or (self.end.constant or 0) >= _END

    def size(self, whole: Polynomial) -> Polynomial | None:
        """Return how much it is of an axis with so many places, if that is known."""
        length, start, end = whole.constant, self.start, self.end
        if length is None or start is None or end is None or self.step < 0:
            return None
        if end.constant is not None:
            return number(len(range(length)[start : end.constant : self.step]))
        is_begin = start == 0 and self.step == 1 and length > 0 and end.lowest >= 0
        return at_most(length, end) if is_begin else None


RULES: Mapping[str, Rule] = {"Slice": slice_}
