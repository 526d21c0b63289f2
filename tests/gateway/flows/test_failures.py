"""Failing nodes: error policies and retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.flows.ports import ModelCall
from protos.errors import ErrorCode
from tests.gateway.flows.fake_ports import FakePorts, failing, hang
from tests.gateway.flows.flow_builder import (
    INPUT,
    ONE_MODEL,
    OUTPUT,
    Json,
    build_flow,
    node,
    run,
    statuses,
    transform,
)


async def test_a_failure_ends_the_run_and_cancels_running_nodes() -> None:
    async def model(call: ModelCall) -> dict[str, Any]:
        await (hang(call) if call.node_id == "slow" else asyncio.sleep(0.01))
        return {}

    world = FakePorts(model)
    flow = build_flow(
        "input>slow input>fast fast>bad bad>after slow>after",
        INPUT,
        node("slow", "inference", model="m"),
        node("fast", "inference", model="m"),
        transform("bad", x="fast.nothing"),
        transform("after", x="1"),
    )
    outcome = await run(flow, world=world)
    assert outcome.status == "failed"
    assert outcome.output_data is None
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("flow_failed", "bad")
    assert "fast is empty: 'nothing' is required" in outcome.error.message
    assert statuses(outcome) == {
        "input": "completed",
        "slow": "cancelled",
        "fast": "completed",
        "bad": "failed",
        "after": "skipped",
    }
    assert outcome.node_outputs["bad"]["error"] == {
        "code": "expression_failed",
        "message": outcome.error.message,
    }
    assert (world.cancelled, world.busy) == (1, 0)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (ErrorCode.INFERENCE_FAILED, "flow_failed"),
        (ErrorCode.INVALID_TENSOR, "invalid_tensor"),
        (ErrorCode.INPUT_REJECTED, "invalid_input"),
        (ErrorCode.NO_ACTIVE_INFERENCE, "no_active_inference"),
        (ErrorCode.INFERENCE_SERVER_BOOTING, "inference_unavailable"),
        (ErrorCode.INFERENCE_SERVER_FAILED, "inference_unavailable"),
    ],
)
async def test_a_model_without_a_server_has_its_own_error_code(code: ErrorCode, word: str) -> None:
    outcome = await run(ONE_MODEL, {"x": 1}, world=FakePorts(failing(code, "no")))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message, outcome.error.node_id) == (
        word,
        "no",
        "model",
    )
    assert outcome.node_outputs["model"]["error"] == {"code": code, "message": "no"}


def double_flow(expression: str) -> Json:
    """Return a flow whose model receives what an expression makes of `input.x`."""
    return build_flow(
        "input>made made>model model>late late>output",
        INPUT,
        transform("made", x=expression),
        node("model", "inference", model="m"),
        transform("late", x="model.x + 1"),
        OUTPUT,
    )


@pytest.mark.parametrize(
    ("expression", "given", "code", "node_id"),
    [
        ("input.x", {}, "invalid_input", "made"),
        ("input.x + 1", {}, "invalid_input", "made"),
        ("input.x + 1", {"x": "two"}, "invalid_input", "made"),
        ("input.x[3]", {"x": [1]}, "invalid_input", "made"),
        ("{'a': 1}[input.x]", {"x": "b"}, "invalid_input", "made"),
        ("10 / input.x", {"x": 0}, "invalid_input", "made"),
        ("10 % input.x", {"x": 0}, "invalid_input", "made"),
        ("9223372036854775807 + input.x", {"x": 1}, "invalid_input", "made"),
        ("uint(input.x)", {"x": -1}, "invalid_input", "made"),
        ("int(input.x)", {"x": "two"}, "invalid_input", "made"),
        ("double(input.x)", {"x": "two"}, "invalid_input", "made"),
        ("timestamp(input.x)", {"x": "nonsense"}, "invalid_input", "made"),
        ("timestamp(input.x)", {"x": "0000-01-01T00:00:00Z"}, "invalid_input", "made"),
        ("duration(input.x)", {"x": "nonsense"}, "invalid_input", "made"),
        ("size(input.x)", {"x": 1}, "invalid_input", "made"),
        ("'a'.matches(input.x)", {"x": "("}, "invalid_input", "made"),
        ("lower(input.x)", {"x": 1}, "invalid_input", "made"),
        ("max(input.x)", {"x": []}, "invalid_input", "made"),
        ("input.x.map(i, 1 / i)", {"x": [1, 0]}, "invalid_input", "made"),
        ("1 + size(input.x.map(i, 1 / i))", {"x": [1, 0]}, "invalid_input", "made"),
        ("1 + 'a'", {"x": 1}, "flow_failed", "made"),
        ("1 / 0", {"x": 1}, "flow_failed", "made"),
        ("double('two')", {"x": 1}, "flow_failed", "made"),
        ("[1 / 0].map(i, i + input.x)", {"x": 1}, "flow_failed", "made"),
        ("[input.x]", {"x": 1}, "flow_failed", "late"),
    ],
)
async def test_an_unfit_input_is_told_from_a_flow_that_fails(
    expression: str, given: Json, code: str, node_id: str
) -> None:
    outcome = await run(double_flow(expression), given)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == (code, node_id), outcome.error
    assert outcome.node_outputs[node_id]["error"]["code"] == "expression_failed"


@pytest.mark.parametrize(
    ("expression", "given", "code"),
    [
        ("10 / input.x", {"x": 0, "y": 0}, "invalid_input"),
        ("10 / size(model.y)", {"x": [1], "y": ""}, "flow_failed"),
        ("size(model.y) / input.x", {"x": 0, "y": "a"}, "flow_failed"),
        ("10 / zero.value", {"x": 1, "y": 0}, "flow_failed"),
        ("input.x / zero.value", {"x": 1, "y": 0}, "invalid_input"),
        ("10 / copy.x", {"x": 0, "y": 0}, "invalid_input"),
        ("1 / 0", {"x": 1, "y": 0}, "flow_failed"),
    ],
)
async def test_what_the_failing_expression_reads_decides(
    expression: str, given: Json, code: str
) -> None:
    flow = build_flow(
        "input>zero zero>copy copy>model model>made made>output",
        INPUT,
        transform("zero", value="0"),
        transform("copy", x="input.x"),
        node("model", "inference", model="m", inputs={"y": "input.y"}),
        transform("made", other="input.x", more="model.y", failing=expression),
        OUTPUT,
    )
    outcome = await run(flow, given)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == (code, "made"), outcome.error


@pytest.mark.parametrize(
    ("condition", "code"), [("input.ask", "invalid_input"), ("model.ask", "flow_failed")]
)
async def test_a_value_that_a_model_made_the_flow_skip_is_not_the_callers(
    condition: str, code: str
) -> None:
    flow = build_flow(
        "input>model model>choice choice>made:true choice>sum:false made>sum sum>output",
        INPUT,
        node("model", "inference", model="m"),
        node("choice", "branch", condition=condition),
        transform("made", x="input.x"),
        transform("sum", y="made.x + 1"),
        OUTPUT,
    )
    outcome = await run(flow, {"x": 1, "ask": False})
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == (code, "sum"), outcome.error


@pytest.mark.parametrize(
    ("kind", "config", "given", "words"),
    [
        ("branch", {"condition": "input.x"}, {"x": "yes"}, "expected true or false"),
        ("http_request", {"url": "https://x.example/{{ input.x }}"}, {"x": None}, "is null"),
        (
            "http_request",
            {"url": "https://x.example", "headers": {"a": "{{ input.x }}"}},
            {"x": "a\nb: c"},
            "control character",
        ),
        ("wait", {"seconds": "input.x"}, {"x": -1}, "expected a number from 0"),
    ],
)
async def test_values_that_a_node_cannot_use_are_the_callers(
    kind: str, config: Json, given: Json, words: str
) -> None:
    flow = build_flow("input>made made>output", INPUT, node("made", kind, **config), OUTPUT)
    outcome = await run(flow, given)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("invalid_input", "made"), outcome.error
    assert words in outcome.error.message


async def test_an_output_that_is_no_object_cannot_be_a_models_input() -> None:
    flow = build_flow(
        "input>made made>model model>output",
        INPUT,
        node("made", "transform", expression="input.x"),
        node("model", "inference", model="m"),
        OUTPUT,
    )
    outcome = await run(flow, {"x": 5})
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("invalid_input", "model")


async def test_a_tensor_computed_from_the_input_is_the_callers() -> None:
    world = FakePorts(failing(ErrorCode.INVALID_TENSOR, "no"))
    outcome = await run(double_flow("[input.x]"), {"x": 1}, world=world)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("invalid_tensor", "model")


@pytest.mark.parametrize(
    ("inputs", "code"), [("[input.x]", "invalid_tensor"), ("[1]", "flow_failed")]
)
async def test_a_constant_tensor_is_the_flows(inputs: str, code: str) -> None:
    world = FakePorts(failing(ErrorCode.INVALID_TENSOR, "no"))
    flow = build_flow(
        "input>model model>output",
        INPUT,
        node("model", "inference", model="m", inputs={"x": inputs}),
    )
    flow["nodes"].append(OUTPUT)
    outcome = await run(flow, {"x": 1}, world=world)
    assert outcome.error is not None
    assert outcome.error.code == code


@pytest.mark.parametrize(
    ("on_error", "output"), [("continue", None), ({"fallback": {"label": 7}}, {"label": 7})]
)
async def test_a_flow_may_continue_after_a_failed_node(on_error: object, output: object) -> None:
    flow = build_flow(
        "input>model model>output",
        INPUT,
        node("model", "inference", model="m", on_error=on_error),
        node("output", "api_output", fields={"label": "model.label"}),
    )
    outcome = await run(flow, world=FakePorts(failing(ErrorCode.INFERENCE_FAILED, "bad luck")))
    assert outcome.status == "completed"
    assert outcome.output_data == {"label": output and 7}
    model = outcome.node_outputs["model"]
    assert (model["status"], model["output"]) == ("failed", output)
    assert model["error"]["message"] == "bad luck"


def _retrying(**retry: Any) -> Json:
    model = node("model", "inference", model="m", retry={"delay_seconds": 0.001, **retry})
    return build_flow("input>model model>output", INPUT, model, OUTPUT)


async def test_a_retryable_failure_is_retried() -> None:
    world = FakePorts(failing(ErrorCode.OVERLOADED, "busy", times=2))
    outcome = await run(_retrying(attempts=3), {"x": 1}, world=world)
    assert outcome.output_data == {"x": 1}
    assert outcome.node_outputs["model"]["attempts"] == len(world.inferences) == 3


async def test_the_number_of_attempts_is_limited() -> None:
    world = FakePorts(failing(ErrorCode.OVERLOADED, "busy"))
    outcome = await run(_retrying(attempts=4), world=world)
    assert outcome.status == "failed"
    assert outcome.node_outputs["model"]["attempts"] == len(world.inferences) == 4


async def test_a_permanent_failure_is_not_retried() -> None:
    world = FakePorts(failing(ErrorCode.INVALID_TENSOR, "wrong"))
    await run(_retrying(attempts=4), world=world)
    assert len(world.inferences) == 1


async def test_no_retry_is_delayed_beyond_the_deadline() -> None:
    world = FakePorts(failing(ErrorCode.OVERLOADED, "busy"))
    outcome = await run(_retrying(attempts=4, delay_seconds=60), world=world, seconds=20)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("flow_failed", "busy")
    assert len(world.inferences) == 1


async def test_an_internal_error_propagates_and_leaves_no_task_running() -> None:
    async def model(call: ModelCall) -> dict[str, Any]:
        if call.node_id == "a":
            return await hang(call)  # type: ignore[no-any-return]
        raise KeyError("a bug")

    world = FakePorts(model)
    a, b = (node(one, "inference", model="m") for one in "ab")
    with pytest.raises(KeyError, match="a bug"):
        await run(build_flow("input>a input>b", INPUT, a, b), world=world)
    assert world.busy == 0
