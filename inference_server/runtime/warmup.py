"""First runs on synthetic inputs, so that no client waits for them.

They also measure how long a run takes, and find out by trying whether calls can share one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.session import ModelSession
from inference_server.runtime.signature import Signature
from model_store.manifest import TensorSpec
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
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-3, 1e-4
"""How much a row may differ in a batch: kernels add numbers in a different order there."""

Feeds = Mapping[str, np.ndarray]
Fill = Callable[[tuple[int, ...]], np.ndarray]
"""Returns numbers from 0 up to 1 in an array of the given shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupResult:
    """What the first runs found out."""

    samples: Sequence[tuple[int, float]]
    """(bytes of input, seconds of a run); empty if the model rejects synthetic inputs."""
    max_batch_size: int = 1
    """Rows that one run may take; 1 if calls cannot share a run."""
    batch_axis: bool = False
    """Whether the first dimension of every required tensor was found to be a batch axis."""
    refusal: str | None = None
    """Why the model rejects synthetic inputs."""


def warm_up(session: ModelSession, *, max_rows: int = _MAX_BATCH_ROWS) -> WarmupResult:
    """Run the model several times on zeros and empty strings, with 1 for each dynamic dimension.

    A model may reject these (it expects an even number, or a known word): that is not a failure.
    """
    feeds = _synthetic_inputs(session.signature, np.zeros)
    try:
        seconds = _timed(session, feeds, _ROUNDS)
    except InferenceError as error:
        return WarmupResult(samples=(), refusal=error.message)
    samples = [(_byte_size(feeds), statistics.median(seconds))]
    if not _may_have_batch_axis(session.signature) or not _rows_are_independent(session):
        return WarmupResult(samples=samples)
    return _find_batch_size(session, samples, min(seconds), max_rows)


def _find_batch_size(
    session: ModelSession, samples: list[tuple[int, float]], row_seconds: float, max_rows: int
) -> WarmupResult:
    """Double the rows as long as that is faster per row; one row takes `row_seconds`."""
    one = _synthetic_inputs(session.signature, np.zeros)
    best, rows = 1, 2
    while rows <= max_rows:
        feeds = {name: np.concatenate([array] * rows) for name, array in one.items()}
        try:
            seconds = _timed(session, feeds, _ROUNDS)
        except InferenceError:
            break
        samples.append((_byte_size(feeds), statistics.median(seconds)))
        fastest = min(seconds)
        if fastest / rows > _REQUIRED_GAIN * row_seconds:
            break
        best, row_seconds = rows, fastest / rows
        if fastest > _MAX_BATCH_SECONDS:
            break
        rows *= 2
    return WarmupResult(samples=samples, max_batch_size=best, batch_axis=True)


def _may_have_batch_axis(signature: Signature) -> bool:
    """Whether the first dimension of every tensor is dynamic, and so may be a batch axis."""
    tensors = [*signature.inputs, *signature.outputs]
    has_required = any(not spec.optional for spec in signature.inputs)
    return has_required and all(
        spec.optional or (spec.shape is not None and spec.shape[:1] == (-1,)) for spec in tensors
    )


def _rows_are_independent(session: ModelSession) -> bool:
    """Whether rows give the same outputs together as alone: then the axis is a batch axis."""
    source = np.random.default_rng(7)
    three = [_synthetic_inputs(session.signature, source.random) for _ in range(3)]
    together = {name: np.concatenate([feeds[name] for feeds in three]) for name in three[0]}
    outputs = [spec.name for spec in session.signature.outputs]
    try:
        alone = [session.run(feeds, outputs) for feeds in three]
        shared = session.run(together, outputs)
    except InferenceError:
        return False
    return all(
        _close(np.concatenate(parts), whole)
        for *parts, whole in zip(*alone, shared, strict=True)
        if all(part is not None and part.ndim for part in (*parts, whole))
    ) and all(array is not None and array.ndim for array in shared)


def _close(expected: np.ndarray, got: np.ndarray) -> bool:
    if expected.shape != got.shape:
        return False
    if expected.dtype.kind in "OUSbiu":
        return bool((expected == got).all())
    wide = (expected.astype(np.float64), got.astype(np.float64))
    return np.allclose(*wide, rtol=_RELATIVE_TOLERANCE, atol=_ABSOLUTE_TOLERANCE, equal_nan=True)


def _timed(session: ModelSession, feeds: Feeds, rounds: int) -> list[float]:
    """Return the seconds of each run, without the first where there are more."""
    outputs = [spec.name for spec in session.signature.outputs]
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < _MAX_SECONDS:
        started_at = time.perf_counter()
        session.run(feeds, outputs)
        seconds.append(time.perf_counter() - started_at)
    return seconds[1:] or seconds


def _byte_size(feeds: Feeds) -> int:
    return sum(array.nbytes for array in feeds.values())


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
