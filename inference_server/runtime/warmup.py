"""First runs on made-up inputs: no caller pays for them, and they tell how long a run takes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.session import Session
from model_store.manifest import TensorSpec
from protos.datatypes import DATATYPES

_ROUNDS = 10
_MOST_SECONDS = 1.0
"""A slow model is warm after a round or two, and its callers are waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """What the first runs told."""

    input_bytes: int
    """Size of the inputs they had."""
    run_seconds: float | None
    """Median of the runs but the first; None if the model refuses such inputs."""
    refusal: str | None = None


def warm_up(session: Session) -> Warmth:
    """Run the model several times on zeros and empty strings, with 1 for each dynamic dimension.

    A model may well refuse these (it wants an even number, or a known word): that is no failure.
    """
    specs = [spec for spec in session.signature.inputs if not spec.optional]
    feeds = {spec.name: _made_up(spec) for spec in specs}
    outputs = [spec.name for spec in session.signature.outputs]
    input_bytes = sum(array.nbytes for array in feeds.values())
    seconds: list[float] = []
    while len(seconds) < _ROUNDS and sum(seconds) < _MOST_SECONDS:
        began = time.perf_counter()
        try:
            session.run(feeds, outputs)
        except InferenceError as error:
            return Warmth(input_bytes=input_bytes, run_seconds=None, refusal=error.message)
        seconds.append(time.perf_counter() - began)
    settled = statistics.median(seconds[1:] or seconds)
    return Warmth(input_bytes=input_bytes, run_seconds=settled)


def _made_up(spec: TensorSpec) -> np.ndarray:
    shape = (1,) if spec.shape is None else tuple(1 if size < 0 else size for size in spec.shape)
    datatype = DATATYPES[spec.datatype]
    return np.zeros(shape, datatype.dtype) if datatype.size else np.full(shape, "", dtype=object)
