"""Outputs of nodes: non-JSON values and large ones."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.flows.ports import ModelCall
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import INPUT, ONE_MODEL, build_flow, node, run


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_nan_and_infinity_become_null_with_a_note(value: float) -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        return {"p": [0.5, value, None], "q": {"deep": [[value]]}}

    outcome = await run(ONE_MODEL, world=FakePorts(model))
    assert outcome.output_data == {"p": [0.5, None, None], "q": {"deep": [[None]]}}
    (note,) = outcome.node_outputs["model"]["notes"]
    assert "2 values were NaN or infinite" in note
    assert "notes" not in outcome.node_outputs["output"]


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
