"""Which values of `input_data` are checked before a run, and which are left to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import orjson
import pytest

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser, build_parser
from gateway.children.metrics import ChildMetrics
from gateway.deployments.input_tensors import InputTensors, input_tensors
from gateway.errors import GatewayError
from gateway.flows.plan import compile_plan
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin, TensorSpec
from protos.errors import ErrorCode
from telemetry.instruments import Registry
from tests.gateway.in_process_gateway import flow_json
from tests.timing import TIMEOUT_SECONDS

PIN = Pin(
    model="scaled",
    version=1,
    sha256="0" * 64,
    inputs=(
        TensorSpec(name="x", datatype="FP32", shape=(-1,)),
        TensorSpec(name="scale", datatype="FP32", shape=(1,), optional=True),
    ),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1,)),),
    unsupported_inputs={},
    unsupported_outputs={},
)


def tensors(*, schema: dict[str, Any] | None = None, **inputs: str) -> InputTensors:
    """Return those of a flow of one model; without `inputs` it takes the whole input."""
    definition = flow_json("scaled", **({"inputs": inputs} if inputs else {}))
    if schema is not None:
        definition["nodes"][0]["config"]["schema"] = schema
    flow = parse_flow(definition)
    return input_tensors(flow, compile_plan(flow), {"model": PIN})


@pytest.fixture
async def parser() -> AsyncIterator[BodyParser]:
    made = build_parser(ChildMetrics(Registry()))
    yield made
    await made.close()


async def check(found: InputTensors, parser: BodyParser, **input_data: object) -> None:
    """Check a call's input."""
    await found.check(
        input_data, orjson.dumps(input_data), parser, "a tenant", monotonic() + TIMEOUT_SECONDS
    )


async def refusal(found: InputTensors, parser: BodyParser, **input_data: object) -> ErrorCode:
    """Return the code of the error."""
    with pytest.raises(GatewayError) as error:
        await check(found, parser, **input_data)
    return error.value.code


async def test_an_optional_tensor_may_be_missing_and_is_checked_where_it_is_sent(
    parser: BodyParser,
) -> None:
    await check(tensors(), parser, x=[1, 2])
    assert await refusal(tensors(), parser, x=[1], scale=[1, 2]) == ErrorCode.INVALID_TENSOR
    assert await refusal(tensors(), parser) == ErrorCode.INVALID_INPUT


async def test_an_expression_needs_a_value_for_an_optional_tensor(parser: BodyParser) -> None:
    found = tensors(x="input.x", scale="input.scale")
    assert await refusal(found, parser, x=[1]) == ErrorCode.INVALID_INPUT


async def test_what_a_flow_computes_is_left_to_the_run(parser: BodyParser) -> None:
    await check(tensors(x="[input.x]", scale="[2.0]"), parser, x="text")


async def test_mistakes_of_the_author_are_left_to_the_run(parser: BodyParser) -> None:
    await check(tensors(x="input.x", unknown="input.y"), parser, x=[1])
    dropped = {"type": "object", "properties": {"scale": {}}}
    await check(tensors(schema=dropped), parser, scale=[2])


@pytest.mark.processes
async def test_a_large_input_is_checked_in_time_or_not_at_all(parser: BodyParser) -> None:
    input_data = {"x": [1.5] * LARGE_BODY_BYTES}
    assert await refusal(tensors(), parser, x=[*input_data["x"], "1"]) == ErrorCode.INVALID_TENSOR
    with pytest.raises(GatewayError) as error:
        await tensors().check(input_data, orjson.dumps(input_data), parser, "a tenant", monotonic())
    assert error.value.code is ErrorCode.DEADLINE_EXCEEDED
