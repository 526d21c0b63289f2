"""First runs on made-up inputs: no caller pays for them, and they tell what the model can do.

How long a run takes, and whether calls can share one: `max_batch_size` is found by trying.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.session import OnnxSession
from inference_server.runtime.signature import Signature
from model_store.manifest import TensorSpec
from protos.datatypes import DATATYPES

_ROUNDS = 10
_MOST_SECONDS = 1.0
"""A slow model is warm after a round or two, and its callers are waiting."""
_LARGEST_BATCH = 256
_LONGEST_BATCH_SECONDS = 0.05
_GAIN = 0.95
"""A batch twice as large must cost less than this a row, or it only makes calls wait."""
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
"""How far a row may be off when others run beside it: kernels add up in another order then."""

Feeds = Mapping[str, np.ndarray]
Fill = Callable[[tuple[int, ...]], np.ndarray]
"""Makes numbers from 0 up to 1, of a shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupResult:
    """What the first runs told."""

    samples: Sequence[tuple[int, float]]
    """(bytes of input, seconds of a run); nothing if the model refuses such inputs."""
    max_batch_size: int = 1
    """Rows that one run may take; 1 where calls cannot share a run."""
    batch_axis: bool = False
    """Whether the first dimension of every needed tensor was found to be one of batches."""
    refusal: str | None = None


def warm_up(session: OnnxSession, *, most_rows: int = _LARGEST_BATCH) -> WarmupResult:
    """Run the model several times on zeros and empty strings, with 1 for each dynamic dimension.

    A model may well refuse these (it wants an even number, or a known word): that is no failure.
    """
    feeds = _made_up(session.signature, np.zeros)
    try:
        seconds = _timed(session, feeds, _ROUNDS)
    except InferenceError as error:
        return WarmupResult(samples=(), refusal=error.message)
    samples = [(_size(feeds), seconds)]
    if not _has_rows(session.signature) or not _keeps_rows_apart(session):
        return WarmupResult(samples=samples)
    return _with_batches(session, samples, most_rows)


def _with_batches(
    session: OnnxSession, samples: list[tuple[int, float]], most_rows: int
) -> WarmupResult:
    """Double the rows as long as that pays."""
    one = _made_up(session.signature, np.zeros)
    best, a_row = 1, samples[0][1]
    rows = 2
    while rows <= most_rows:
        feeds = {name: np.concatenate([array] * rows) for name, array in one.items()}
        try:
            seconds = _timed(session, feeds, _ROUNDS)
        except InferenceError:
            break
        samples.append((_size(feeds), seconds))
        if seconds / rows > _GAIN * a_row:
            break
        best, a_row = rows, seconds / rows
        if seconds > _LONGEST_BATCH_SECONDS:
            break
        rows *= 2
    return WarmupResult(samples=samples, max_batch_size=best, batch_axis=True)


def _has_rows(signature: Signature) -> bool:
    """Whether the first dimension of everything is free, and so may be a batch axis."""
    tensors = [*signature.inputs, *signature.outputs]
    needed = any(not spec.optional for spec in signature.inputs)
    return needed and all(
        spec.optional or (spec.shape is not None and spec.shape[:1] == (-1,)) for spec in tensors
    )


def _keeps_rows_apart(session: OnnxSession) -> bool:
    """Whether rows that run together give what each gives alone: the axis is one of batches."""
    source = np.random.default_rng(7)
    three = [_made_up(session.signature, source.random) for _ in range(3)]
    together = {name: np.concatenate([feeds[name] for feeds in three]) for name in three[0]}
    outputs = [spec.name for spec in session.signature.outputs]
    try:
        alone = [session.run(feeds, outputs) for feeds in three]
        shared = session.run(together, outputs)
    except InferenceError:
        return False
    return all(
        _alike(np.concatenate(parts), whole)
        for *parts, whole in zip(*alone, shared, strict=True)
        if all(part is not None and part.ndim for part in (*parts, whole))
    ) and all(array is not None and array.ndim for array in shared)


def _alike(expected: np.ndarray, got: np.ndarray) -> bool:
    if expected.shape != got.shape:
        return False
    if expected.dtype.kind in "OUSbiu":
        return bool((expected == got).all())
    wide = (expected.astype(np.float64), got.astype(np.float64))
    return np.allclose(*wide, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)


def _timed(session: OnnxSession, feeds: Feeds, rounds: int) -> float:
    """Return the median seconds of a run, the first one left out."""
    outputs = [spec.name for spec in session.signature.outputs]
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < _MOST_SECONDS:
        began = time.perf_counter()
        session.run(feeds, outputs)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:] or seconds)


def _size(feeds: Feeds) -> int:
    return sum(array.nbytes for array in feeds.values())


def _made_up(signature: Signature, fill: Fill) -> dict[str, np.ndarray]:
    """Return needed inputs of one row; integers and booleans come out as 0 or 1."""
    return {spec.name: _array(spec, fill) for spec in signature.inputs if not spec.optional}


def _array(spec: TensorSpec, fill: Fill) -> np.ndarray:
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
