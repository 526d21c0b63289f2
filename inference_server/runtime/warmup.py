"""First runs on synthetic inputs, so that no client waits for them.

They also measure how long a run takes, and how many rows one may best have.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.session import ModelSession, RunOptions
from inference_server.runtime.signature import Signature
from model_store.tensor_spec import TensorSpec
from protos.datatypes import DATATYPES

_ROUNDS = 10
_MAX_SECONDS = 1.0
"""A slow model is warm after a round or two, and clients are waiting for it."""
_MAX_BATCH_ROWS = 256
_MAX_BATCH_SECONDS = 0.05
_REQUIRED_GAIN = 0.95
"""A batch twice as large must take less than this per row, or it would only delay calls.

The fastest runs are compared: an interrupted one must not turn batching off until the next boot.
"""
Feeds = Mapping[str, np.ndarray]
Fill = Callable[[tuple[int, ...]], np.ndarray]
"""Returns numbers from 0 up to 1 in an array of the given shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupResult:
    """What the first runs found out."""

    samples: Sequence[tuple[int, float]]
    """(rows, seconds of a run); empty if the model rejects synthetic inputs."""
    feeds: Feeds = field(default_factory=dict)
    """The synthetic inputs, with one row."""
    max_batch_size: int = 1
    """Rows that one run may take; 1 if calls cannot share a run."""
    batch_axis: bool = False
    """Whether outputs have as many rows as the inputs, on the first dimension of each tensor."""
    refusal: str | None = None
    """Why the model rejects synthetic inputs."""


def warm_up(
    session: ModelSession, *, max_rows: int = _MAX_BATCH_ROWS, options: RunOptions | None = None
) -> WarmupResult:
    """Run the model several times on zeros and empty strings, with 1 for each dynamic dimension.

    A model may reject these (it expects an even number, or a known word): that is not a failure.

    Args:
        session: the model.
        max_rows: most rows of a run; 1 if calls must not share one, which trying cannot tell.
        options: can end the warm-up at any time, with what it has found out by then.
    """
    feeds = _synthetic_inputs(session.signature, np.zeros)
    try:
        seconds = _timed(session, feeds, options)
    except InferenceError as error:
        return WarmupResult(samples=(), feeds=feeds, refusal=error.message)
    samples = [(1, statistics.median(seconds))]
    if not _may_have_batch_axis(session.signature) or not _keeps_rows(session, options):
        return WarmupResult(samples=samples, feeds=feeds)
    best = _find_batch_size(
        session, feeds, samples, row_seconds=min(seconds), max_rows=max_rows, options=options
    )
    return WarmupResult(samples=samples, feeds=feeds, max_batch_size=best, batch_axis=True)


def _find_batch_size(
    session: ModelSession,
    one: Feeds,
    samples: list[tuple[int, float]],
    *,
    row_seconds: float,
    max_rows: int,
    options: RunOptions | None,
) -> int:
    """Double the rows of `one` as long as that is faster per row; return the best number of rows.

    One row takes `row_seconds`. Adds to `samples`.
    """
    best, rows = 1, 2
    while rows <= max_rows:
        feeds = {name: np.concatenate([array] * rows) for name, array in one.items()}
        enough = _REQUIRED_GAIN * row_seconds
        try:
            seconds = _timed(session, feeds, options)
            if min(seconds) > enough * rows and sum(seconds) < _MAX_BATCH_SECONDS:
                seconds += _timed(session, feeds, options)  # all may have been interrupted
        except InferenceError:
            break
        samples.append((rows, statistics.median(seconds)))
        fastest = min(seconds)
        if fastest > enough * rows:
            break
        best, row_seconds = rows, fastest / rows
        if fastest > _MAX_BATCH_SECONDS:
            break
        rows *= 2
    return best


def _may_have_batch_axis(signature: Signature) -> bool:
    """Whether the first dimension of every tensor is dynamic, and so may be a batch axis."""
    tensors = [*signature.inputs, *signature.outputs]
    has_required = any(not spec.optional for spec in signature.inputs)
    return has_required and all(
        spec.optional or (spec.shape is not None and spec.shape[:1] == (-1,)) for spec in tensors
    )


def _keeps_rows(session: ModelSession, options: RunOptions | None) -> bool:
    """Whether the outputs have three rows where the inputs have, so that they can be divided."""
    one = _synthetic_inputs(session.signature, np.random.default_rng(7).random)
    three = {name: np.concatenate([array] * 3) for name, array in one.items()}
    outputs = [spec.name for spec in session.signature.outputs]
    try:
        found = session.run(three, outputs, options)
    except InferenceError:
        return False
    return all(array is not None and array.ndim and len(array) == 3 for array in found)  # noqa: PLR2004


def _timed(session: ModelSession, feeds: Feeds, options: RunOptions | None) -> list[float]:
    """Return the seconds of each run, without the first where there are more.

    Raises:
        InferenceError: the first run failed.
    """
    outputs = [spec.name for spec in session.signature.outputs]
    seconds: list[float] = []
    while len(seconds) < _ROUNDS and sum(seconds) < _MAX_SECONDS:
        started_at = time.perf_counter()
        try:
            session.run(feeds, outputs, options)
        except InferenceError:
            if seconds:
                break
            raise
        seconds.append(time.perf_counter() - started_at)
    return seconds[1:] or seconds


def _synthetic_inputs(signature: Signature, fill: Fill) -> dict[str, np.ndarray]:
    """Return the required inputs with one row; integers and booleans are 0 or 1."""
    return {
        spec.name: _synthetic_array(spec, fill) for spec in signature.inputs if not spec.optional
    }


def _synthetic_array(spec: TensorSpec, fill: Fill) -> np.ndarray:
    shape = (1,) if spec.shape is None else tuple(1 if size < 0 else size for size in spec.shape)
    numbers = fill(shape)
    datatype = DATATYPES[spec.datatype]
    if not datatype.size:
        texts = np.array(["", "a", "b c"], dtype=object)
        words: np.ndarray = texts[(numbers * len(texts)).astype(int)]
        return words
    if datatype.dtype.kind in "biu":
        numbers = numbers.round()
    return numbers.astype(datatype.dtype)
