"""Large replies become JSON in pieces: nothing in a call holds up others for long."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.deployments.fast_plan import FastOutput, FastPlan
from gateway.deployments.settings import NonFinite
from gateway.errors import GatewayError
from gateway.fast_path.tensors import TensorCodec
from gateway.models.pins import ClassLabels
from model_store.tensor_spec import TensorSpec
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.message_templates import InferResponseTemplate
from protos.tensors import encode_raw

LABELS = ("setosa", "versicolor", "virginica")
ROWS = 200_000
SHARE = 8
"""A piece takes less than such a part of the whole."""


@pytest.fixture
def no_collection() -> Iterator[None]:
    """A gateway's collector visits only young objects; a test's visits all of pytest's."""
    gc.disable()
    yield
    gc.enable()


def reply(array: np.ndarray, datatype: str) -> tuple[bytes, InferResponseTemplate]:
    """Return a reply with the output `y`, and its template."""
    raw = encode_raw(array, DATATYPES[datatype])
    head = pb.ModelInferResponse(model_name="m", model_version="1")
    head.outputs.add(name="y", datatype=datatype, shape=array.shape)
    template = InferResponseTemplate(head, 8, [len(raw)], streamed=False, has_timings=False)
    return template.render([b"12345678", raw]), template


def codec(array: np.ndarray, datatype: str, labels: ClassLabels | None) -> TensorCodec:
    """Return a codec of a model with the output `y`."""
    spec = TensorSpec(name="y", datatype=datatype, shape=(-1,) * array.ndim, class_labels=labels)
    output = FastOutput(field="y", name="y", spec=spec)
    return TensorCodec(FastPlan(model="m", version=1, inputs=(), outputs=(output,)))


def texts(count: int) -> np.ndarray:
    made = np.empty(count, dtype=object)
    made[:] = [b"text %d" % at for at in range(count)]
    return made


PROBABILITIES = np.random.default_rng(0).random((ROWS, 3), dtype=np.float32)
CASES = {
    "numbers": (PROBABILITIES, "FP32", None),
    "by class": (PROBABILITIES, "FP32", LABELS),
    "texts": (texts(ROWS), "BYTES", None),
    "rows of texts": (texts(ROWS).reshape(-1, 4), "BYTES", None),
}


async def longest_piece(work: asyncio.Task[bytes]) -> tuple[float, float]:
    """Return the longest time without a turn of the loop until `work` ends, and the whole.

    In seconds of CPU time of all threads, as one that keeps the interpreter's lock stops the loop.
    """
    longest, began = 0.0, time.process_time()
    before = began
    while not work.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, before = max(longest, now - before), now
    return longest, before - began


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("no_collection")
async def test_no_piece_of_a_large_reply_takes_long(name: str) -> None:
    array, datatype, labels = CASES[name]
    message, template = reply(array, datatype)
    model = codec(array, datatype, labels)
    writing = asyncio.create_task(model.decode_large(message, template, NonFinite.STRING))
    piece, whole = await longest_piece(writing)
    assert piece < whole / SHARE
    assert writing.result() == model.decode(message, template, NonFinite.STRING)


SMALL_SHAPES = {"by class": (5_000, 3), "rows": (5_000, 3), "number": (), "one row": (1, 40_000)}


@pytest.mark.parametrize("non_finite", NonFinite)
@pytest.mark.parametrize("name", SMALL_SHAPES)
@pytest.mark.parametrize("with_nan", [False, True])
async def test_it_is_written_and_refused_as_a_small_one(
    name: str, non_finite: NonFinite, with_nan: bool
) -> None:
    shape = SMALL_SHAPES[name]
    array = np.linspace(0, 1, math.prod(shape), dtype=np.float32)
    if with_nan:
        array[array.size // 2 :: 1000] = np.nan
    array = array.reshape(shape)
    message, template = reply(array, "FP32")
    model = codec(array, "FP32", LABELS if name == "by class" else None)
    outcomes = []
    for decode in (model.decode, model.decode_large):
        try:
            written = decode(message, template, non_finite)
            outcomes.append(written if isinstance(written, bytes) else await written)
        except GatewayError as error:
            outcomes.append(f"{error.code}: {error.message}".encode())
    assert outcomes[0] == outcomes[1]
    if with_nan and non_finite is NonFinite.ERROR and name == "by class":
        assert b"output_data.y[2500].setosa: expected a finite number, got NaN" in outcomes[0]
