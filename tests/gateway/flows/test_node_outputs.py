"""Outputs of nodes: non-JSON values and large ones."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.flows.ports import ModelCall
from protos.non_finite import non_finite_name
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import INPUT, ONE_MODEL, build_flow, node, run


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_nan_and_infinity_stay_numbers_and_are_shown_as_strings(value: float) -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        return {"p": [0.5, value, None], "q": {"deep": [[value]]}}

    outcome = await run(ONE_MODEL, world=FakePorts(model))
    assert outcome.non_finite
    assert repr(outcome.output_data) == repr({"p": [0.5, value, None], "q": {"deep": [[value]]}})
    name = non_finite_name(value)
    shown = outcome.node_outputs["model"]["output"]
    assert shown == {"p": [0.5, name, None], "q": {"deep": [[name]]}}


async def test_expressions_read_and_return_nan_and_infinities() -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        return {"p": [math.nan, math.inf, None, "null"]}

    flow = build_flow(
        "input>model model>sums sums>output",
        INPUT,
        node("model", "inference", model="m"),
        node("sums", "transform", fields={"more": "model.p[0] + 1.0", "less": "-model.p[1]"}),
        node("output", "api_output", fields={"sums": "sums", "p": "model.p"}),
    )
    outcome = await run(flow, world=FakePorts(model))
    assert repr(outcome.output_data) == repr(
        {"sums": {"more": math.nan, "less": -math.inf}, "p": [math.nan, math.inf, None, "null"]}
    )
    assert outcome.node_outputs["sums"]["output"] == {"more": "NaN", "less": "-Infinity"}


async def test_nulls_alone_are_not_non_finite() -> None:
    outcome = await run(ONE_MODEL, {"x": None, "y": "NaN"})
    assert not outcome.non_finite
    assert outcome.output_data == {"x": None, "y": "NaN"}


@pytest.mark.parametrize("expression", ["size(input.p)", "[input.p, input.p]"])
async def test_expressions_read_and_return_few_values_with_nan(expression: str) -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        return {"p": [math.nan] * 150_000 + [0.5]}

    flow = build_flow(
        "input>model model>sizes sizes>output",
        INPUT,
        node("model", "inference", model="m"),
        node("sizes", "transform", expression=expression.replace("input", "model")),
        node("output", "api_output"),
    )
    outcome = await run(flow, world=FakePorts(model))
    if expression.startswith("size"):
        assert outcome.output_data == {"result": 150_001}
    else:
        assert outcome.error is not None
        assert outcome.error.code == "evaluation_limit"
        assert "values with NaN or infinities take" in outcome.error.message


async def test_an_output_that_is_not_json_fails_the_node() -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        return {"p": {1, 2}}

    outcome = await run(ONE_MODEL, world=FakePorts(model))
    assert outcome.error is not None
    assert outcome.node_outputs["model"]["error"]["code"] == "invalid_output"


async def test_large_outputs_are_truncated_in_node_outputs_only() -> None:
    text = "x" * 50_000
    outcome = await run(ONE_MODEL, {"x": text, "y": 1}, max_output_bytes=20_000)
    assert outcome.output_data == {"x": text, "y": 1}
    shown = outcome.node_outputs["model"]["output"]
    assert shown["truncated"] is True
    assert shown["bytes"] == len(text) + len('{"x":"","y":1}')
    assert shown["preview"].startswith('{"x":"xxx')


async def test_many_truncation_markers_stay_small() -> None:
    ids = [f"m{number}" for number in range(200)]
    flow = build_flow(
        " ".join(f"input>{one}" for one in ids),
        INPUT,
        *(node(one, "transform", expression="input.x") for one in ids),
    )
    outcome = await run(flow, {"x": "x" * 10_000}, max_output_bytes=25_000)
    outputs = [outcome.node_outputs[one]["output"] for one in ids]
    assert len(str(outputs)) < 25_000 + 200 * 100
    assert outputs[-1] == {"truncated": True, "bytes": 10_002}
