"""Dynamic batching: which calls share a run, and how its outputs are divided. No I/O, no clock.

No call waits for a batch to fill. Calls that arrived while the event loop or a run was busy form
the next batch; a call that is alone runs alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from time import perf_counter

import numpy as np

from inference_server.data_plane.calls import Feeds, PendingCall
from inference_server.errors import InferenceError
from inference_server.runtime.rows import MAX_SIZE
from inference_server.runtime.session import ModelSession, RunOptions
from inference_server.runtime.signature import EqualSizes
from protos.errors import ErrorCode


class BatchResult:
    """The outputs of one run, of one call or of several, and its timing.

    The last three attributes are set with the first response that is encoded from it.
    """

    __slots__ = (
        "arrays",
        "infer_seconds",
        "raw_outputs",
        "row_bytes",
        "shapes",
        "shared",
        "started_at",
    )

    def __init__(
        self, arrays: list[np.ndarray], started_at: float, infer_seconds: float, *, shared: bool
    ) -> None:
        self.arrays = arrays
        self.started_at = started_at
        """The `perf_counter()` before the run."""
        self.infer_seconds = infer_seconds
        """Time in ONNX Runtime, for all the calls together."""
        self.shared = shared
        """Whether each call has only some rows of the arrays."""
        self.shapes: tuple[tuple[int, ...], ...] | None = None
        """The shapes of the arrays."""
        self.raw_outputs: list[bytes] | None = None
        """The bytes of the arrays."""
        self.row_bytes: list[int] = []
        """The bytes of one row of each, where the run is shared."""


Outcome = BatchResult | InferenceError
"""What became of one call."""


class BatchQueue:
    """Waiting calls, grouped by batch key; the groups in order of their first arrival."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, list[PendingCall]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, call: PendingCall) -> None:
        """Append `call` to the group of its key."""
        call.queued = True
        key = call.profile.batch_key
        if key is None:
            key = call  # a group of its own
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = [call]
        else:
            group.append(call)

    def take(self, max_rows: int) -> list[PendingCall]:
        """Remove and return the calls of the next run: one, or more if within `max_rows` rows.

        The rest of a group goes behind the other groups, so that one key cannot starve others.
        """
        key = next(iter(self._groups))
        calls = self._groups.pop(key)
        if len(calls) > 1:
            rows = 0
            for index, call in enumerate(calls):
                rows += call.profile.rows
                if rows > max_rows and index:
                    self._groups[key] = calls[index:]
                    return calls[:index]
        return calls


def batch_key(
    feeds: Feeds,
    outputs: Sequence[str],
    required: frozenset[str],
    equal_sizes: EqualSizes,
    owner: str = "",
) -> tuple[Hashable, int] | None:
    """Return the key of calls that can run together, and the rows of this one.

    None if the call runs alone: the proof that rows are independent (`runtime.rows`) holds where
    the `required` inputs are sent and no other, have the same number of rows and equal sizes where
    these have one name, and no dimension is 0 or MAX_SIZE or more. Calls of different owners do
    not run together; `owner` is empty where that makes no difference.
    """
    if feeds.keys() != required:
        return None
    rows = -1
    parts: list[Hashable] = [owner, tuple(outputs)]
    for name, array in feeds.items():
        if not array.ndim or rows not in (-1, array.shape[0]):
            return None
        if not 0 < min(array.shape) <= max(array.shape) < MAX_SIZE:
            return None
        rows = array.shape[0]
        parts.append((name, array.shape[1:], _text_class(array)))
    for places in equal_sizes:
        if len({feeds[name].shape[axis] for name, axis in places}) > 1:
            return None
    return tuple(parts), rows


def shape_class(feeds: Feeds, *, by_rows: bool) -> Hashable:
    """Return the shape class of `feeds`: runs on inputs of one class take about as long.

    Within a class each dimension is the same within a factor of 2, and so is the length of texts
    beyond 1 KiB. With `by_rows` the first dimension does not count: it is told apart by the rows.
    """
    return tuple(
        [
            (name, tuple([size.bit_length() for size in array.shape[by_rows:]]), _text_class(array))
            for name, array in feeds.items()
        ]
    )


def input_bytes(array: np.ndarray) -> int:
    """Return the size of an input; that of texts is their characters and a pointer for each."""
    return array.nbytes + _text_length(array)


def _text_length(array: np.ndarray) -> int:
    return sum(map(len, array.flat)) if array.dtype.hasobject else 0


def _text_class(array: np.ndarray) -> int:
    return (_text_length(array) >> 10).bit_length()


def run_batch(
    session: ModelSession, calls: Sequence[PendingCall], options: RunOptions | None = None
) -> Sequence[Outcome]:
    """Run `calls` together and return the outcome of each; `options` can end the run.

    If the run fails, each call is run once more by itself, so that only the faulty one fails. The
    text of the shared failure, which may quote another caller's value, reaches no caller. The same
    if the outputs do not have one row for each row of input: they cannot be divided then.
    """
    first = calls[0]
    profile = first.profile
    if len(calls) == 1:
        started_at = perf_counter()
        try:
            arrays = session.run(profile.feeds(first), profile.outputs, options)
        except InferenceError as error:
            return (error,)
        return (BatchResult(arrays, started_at, perf_counter() - started_at, shared=False),)
    started_at = perf_counter()
    try:
        arrays = session.run(profile.batched_feeds(calls), profile.outputs, options)
    except InferenceError:
        if options is not None and options.terminate:
            ended = InferenceError(
                ErrorCode.CANCELLED, "the run was ended: no caller waited for it"
            )
            return [ended] * len(calls)
        return [run_batch(session, (call,), options)[0] for call in calls]
    result = BatchResult(arrays, started_at, perf_counter() - started_at, shared=True)
    rows = 0
    for call in calls:
        call.first_row = rows
        rows += call.profile.rows
    if any(array is None or not array.ndim or array.shape[0] != rows for array in arrays):
        return [run_batch(session, (call,), options)[0] for call in calls]
    return [result] * len(calls)
