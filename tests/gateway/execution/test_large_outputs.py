"""Large outputs of runs: the event loop goes on while they are read and written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import numpy as np
import orjson
import pytest

from gateway.deployments.fast_plan import FastOutput, FastPlan
from gateway.fast_path.tensors import TensorCodec
from gateway.flows.json_output import dump_json, measure_json, truncated
from gateway.flows.json_parts import json_parts
from gateway.flows.node_types.handler import NodeError
from gateway.flows.ports import ModelCall
from gateway.models.pins import ClassLabels
from gateway.steps import in_turns
from model_store.tensor_spec import TensorSpec
from protos import open_inference_pb2 as pb
from protos.message_templates import InferResponseTemplate
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import ONE_MODEL, run

NUMBERS = np.random.default_rng(0).standard_normal(800_000).astype(np.float32)
"""8 MB as JSON."""
ROWS = NUMBERS.reshape(-1, 4)
MANY_TURNS = 8
"""Of the event loop; a computation without a pause leaves it one or two."""


async def turns_during(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """Return the result of `work`, and how often another task had its turn meanwhile."""
    task, turns = asyncio.create_task(work), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return task.result(), turns


def reply_of(array: np.ndarray, datatype: str = "FP32") -> tuple[bytes, InferResponseTemplate]:
    """Return a reply with the output `y`, and its template."""
    head = pb.ModelInferResponse(model_name="m", model_version="1")
    head.outputs.add(name="y", datatype=datatype, shape=array.shape)
    template = InferResponseTemplate(head, 8, [array.nbytes], streamed=False, has_timings=False)
    return template.render([b"12345678", array.tobytes()]), template


def codec(
    dimensions: int, datatype: str = "FP32", labels: ClassLabels | None = None
) -> TensorCodec:
    """Return a codec of a model with the output `y`."""
    spec = TensorSpec(name="y", datatype=datatype, shape=(-1,) * dimensions, class_labels=labels)
    output = FastOutput(field="y", name="y", spec=spec)
    return TensorCodec(FastPlan(model="m", version=1, inputs=(), outputs=(output,)))


@pytest.mark.parametrize("array", [NUMBERS, ROWS], ids=["flat", "rows"])
async def test_other_tasks_go_on_while_a_run_has_a_large_output(array: np.ndarray) -> None:
    value = {"y": array.tolist()}

    async def model(_call: ModelCall) -> dict[str, Any]:
        return value

    result, turns = await turns_during(run(ONE_MODEL, {"x": 1}, world=FakePorts(model)))
    assert result.output_data == value
    assert turns > MANY_TURNS
    written, turns = await turns_during(dump_json(result.output_data))
    assert written == orjson.dumps(value)
    assert turns > MANY_TURNS


@pytest.mark.parametrize("array", [NUMBERS, ROWS], ids=["flat", "rows"])
async def test_other_tasks_go_on_while_a_large_reply_is_read(array: np.ndarray) -> None:
    message, template = reply_of(array)
    model = codec(array.ndim)
    values, turns = await turns_during(in_turns(model.value_steps(message, template)))
    assert values == model.values(message, template)
    assert turns > MANY_TURNS


def with_non_finite(array: np.ndarray) -> np.ndarray:
    """Return a copy with some NaN and infinities."""
    changed = array.copy().reshape(-1)
    changed[[0, changed.size // 2, -1]] = np.nan, np.inf, -np.inf
    return changed.reshape(array.shape)


@pytest.mark.parametrize(
    "shape",
    [(40_000,), (10_000, 4), (4, 10_000), (1, 2, 20_000), (2, 100, 200), (40_000, 1), (0, 4)],
    ids=str,
)
@pytest.mark.parametrize("datatype", ["FP32", "BF16", "INT64", "BOOL"])
async def test_a_reply_has_the_same_values_in_steps(shape: tuple[int, ...], datatype: str) -> None:
    array = NUMBERS[: int(np.prod(shape))].reshape(shape)
    if array.size and datatype == "FP32":
        array = with_non_finite(array)
    kind = {"FP32": np.float32, "BF16": np.float16, "INT64": np.int64, "BOOL": np.bool_}[datatype]
    message, template = reply_of(array.astype(kind), datatype)
    model = codec(len(shape), datatype)
    values = await in_turns(model.value_steps(message, template))
    assert repr(values) == repr(model.values(message, template))


async def test_probabilities_by_class_are_the_same_in_steps() -> None:
    model = codec(2, labels=("a", "b", "c", "d"))
    message, template = reply_of(with_non_finite(ROWS[:10_000]))
    values = await in_turns(model.value_steps(message, template))
    assert repr(values) == repr(model.values(message, template))


TEXT = 'a"\\ä😀\n' * 50_000
LARGE: tuple[Any, ...] = (
    NUMBERS[:100_000].tolist(),
    ROWS[:30_000].tolist(),
    tuple(range(100_000)),
    [{"a": at, 'b"': [str(at), None, True]} for at in range(30_000)],
    {f'name "{at}': [at] * 100 for at in range(2_000)},
    {"a": {"b": {"c": NUMBERS[:50_000].tolist(), "d": {}}}, "e": [], "f": 1.5},
    TEXT,
    [TEXT, [], {}, "", TEXT],
    [[1.5] * 20_000, 1, [[2.5] * 20_000]],
    [],
    {"x": 1},
)


@pytest.mark.parametrize("value", LARGE, ids=range(len(LARGE)))
async def test_the_parts_are_the_whole(value: Any) -> None:
    parts = list(json_parts(value, orjson.dumps))
    assert b"".join(written for _, written in parts) == orjson.dumps(value)
    assert max(len(written) for _, written in parts) < 300_000
    assert await dump_json(value) == orjson.dumps(value)
    assert await measure_json(value) == (len(orjson.dumps(value)), False)
    marker, _ = truncated(value, 1 << 30, 1 << 20)
    assert marker["preview"] == orjson.dumps(value)[:1024].decode(errors="ignore")


async def test_a_nan_among_many_numbers_is_noticed() -> None:
    numbers = [*NUMBERS[:100_000].tolist(), float("nan")]
    assert await measure_json({"a": [None], "b": numbers}) == (
        len(orjson.dumps({"a": [None], "b": numbers})),
        True,
    )
    assert (await measure_json({"a": [None], "b": numbers[:-1]}))[1] is False


@pytest.mark.parametrize("bad", [object(), {1: 2}, {1, 2}], ids=["object", "dict", "set"])
async def test_what_is_not_json_is_refused_among_many_numbers(bad: object) -> None:
    for value in ([*range(100_000), bad], {"a": list(range(100_000)), "b": [bad]}):
        with pytest.raises(NodeError, match="not JSON-serializable"):
            await measure_json(value)


async def test_values_that_are_nested_too_deeply_are_refused() -> None:
    nested = json.loads("[" * 900 + "1" + "]" * 900)
    with pytest.raises(NodeError, match="Recursion limit"):
        await measure_json([*range(100_000), nested])
