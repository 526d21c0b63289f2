"""How flows run: order, side by side, branches, failures, ends."""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import Any

import pytest

from gateway.flows.outcome import NodeOutput
from gateway.flows.ports import InferenceCall
from protos.errors import ErrorCode
from tests.gateway.flows.sketch import (
    INPUT,
    OUTPUT,
    Json,
    completed,
    node,
    planned,
    run,
    sketch,
    statuses,
    transform,
)
from tests.gateway.flows.world import World, failing, never

ONE_MODEL = sketch("input>model model>output", INPUT, node("model", "inference", model="m"), OUTPUT)


async def test_values_go_from_node_to_node() -> None:
    flow = sketch(
        "input>double double>output",
        INPUT,
        transform("double", y="input.x * 2", same="input.x"),
        node("output", "api_output", fields={"y": "double.y", "x": "double.same"}),
    )
    assert await completed(flow, {"x": 21}) == {"y": 42, "x": 21}


async def test_every_node_is_accounted_for() -> None:
    flow = sketch(
        "input>double double>output",
        INPUT,
        node("double", "transform", fields={"y": "input.x * 2"}, name="Twice"),
        OUTPUT,
    )
    outcome = await run(flow, {"x": 21})
    assert list(outcome.node_outputs) == ["input", "double", "output"]
    double = outcome.node_outputs["double"]
    assert 0 <= double.pop("duration_seconds") <= outcome.duration_seconds
    assert double == {
        "name": "Twice",
        "type": "transform",
        "status": "completed",
        "output": {"y": 42},
    }
    assert outcome.node_outputs["input"]["output"] == {"x": 21}
    assert outcome.node_outputs["output"]["name"] == "output"
    assert (outcome.status, outcome.error) == ("completed", None)


async def test_a_flow_without_an_input_or_an_output_runs_too() -> None:
    assert await completed(sketch("a>b", transform("a", x="1"), transform("b", y="a.x"))) == {}


async def test_branches_run_side_by_side() -> None:
    ids = [f"m{number}" for number in range(5)]
    meeting = asyncio.Barrier(len(ids))  # nobody passes until all are there

    async def model(call: InferenceCall) -> dict[str, Any]:
        await meeting.wait()
        return {"at": call.node_id}

    flow = sketch(
        " ".join(f"input>{one} {one}>output" for one in ids),
        INPUT,
        *(node(one, "inference", model="m") for one in ids),
        OUTPUT,
    )
    assert await completed(flow, world=World(model)) == {one: {"at": one} for one in ids}


async def test_several_outputs_are_one() -> None:
    flow = sketch(
        "input>a input>b",
        INPUT,
        node("a", "api_output", fields={"x": "1", "y": "1"}),
        node("b", "api_output", fields={"y": "2", "z": "2"}),
    )
    assert await completed(flow) == {"x": 1, "y": 2, "z": 2}


def _forked(**branch: Any) -> Json:
    return sketch(
        "input>choose choose>high:true choose>low:false high>output low>output",
        INPUT,
        node("choose", "branch", condition="input.x > 10", **branch),
        transform("high", is_="'high'"),
        transform("low", is_="'low'"),
        node("output", "api_output", fields={"high": "high.is_", "low": "low.is_"}),
    )


async def test_a_branch_goes_one_way_and_the_join_runs_with_what_there_is() -> None:
    outcome = await run(_forked(), {"x": 11})
    assert outcome.output_data == {"high": "high", "low": None}
    assert statuses(outcome) == {
        "input": "completed",
        "choose": "completed",
        "high": "completed",
        "low": "skipped",
        "output": "completed",
    }
    assert outcome.node_outputs["choose"]["output"] == {"case": "true"}
    assert await completed(_forked(), {"x": 10}) == {"high": None, "low": "low"}


async def test_all_after_a_way_not_taken_is_skipped() -> None:
    chain = [f"n{number}" for number in range(500)]
    edges = " ".join(f"{a}>{b}" for a, b in zip(chain, chain[1:], strict=False))
    flow = sketch(
        f"input>choose choose>n0:true {edges} n499>output",
        INPUT,
        node("choose", "branch", condition="false"),
        *(transform(one, x="1") for one in chain),
        OUTPUT,
    )
    outcome = await run(flow)
    assert outcome.output_data == {}
    assert {status for one, status in statuses(outcome).items() if one != "choose"} == {
        "completed",  # the input
        "skipped",
    }


async def test_an_edge_without_a_case_is_always_taken() -> None:
    flow = sketch(
        "input>choose choose>a:true choose>b",
        INPUT,
        node("choose", "branch", condition="false"),
        transform("a", x="1"),
        transform("b", x="1"),
    )
    assert statuses(await run(flow))["a"] == "skipped"
    assert statuses(await run(flow))["b"] == "completed"


async def test_a_failure_ends_the_run_and_what_is_going_on() -> None:
    async def model(call: InferenceCall) -> dict[str, Any]:
        await (never(call) if call.node_id == "slow" else asyncio.sleep(0.01))
        return {}

    world = World(model)
    flow = sketch(
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
    assert "fast has no 'nothing'" in outcome.error.message
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
        (ErrorCode.INVALID_TENSOR, "flow_failed"),
        (ErrorCode.NO_ACTIVE_INFERENCE, "inference_unavailable"),
        (ErrorCode.INFERENCE_SERVER_BOOTING, "inference_unavailable"),
        (ErrorCode.INFERENCE_SERVER_FAILED, "inference_unavailable"),
    ],
)
async def test_a_model_that_nobody_serves_is_another_failure(code: ErrorCode, word: str) -> None:
    outcome = await run(ONE_MODEL, {"x": 1}, world=World(failing(code, "no")))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message, outcome.error.node_id) == (
        word,
        "no",
        "model",
    )
    assert outcome.node_outputs["model"]["error"] == {"code": code, "message": "no"}


@pytest.mark.parametrize(
    ("on_error", "output"), [("continue", None), ({"fallback": {"label": 7}}, {"label": 7})]
)
async def test_a_flow_may_go_on_without_a_node(on_error: object, output: object) -> None:
    flow = sketch(
        "input>model model>output",
        INPUT,
        node("model", "inference", model="m", on_error=on_error),
        node("output", "api_output", fields={"label": "model.label"}),
    )
    outcome = await run(flow, world=World(failing(ErrorCode.INFERENCE_FAILED, "bad luck")))
    assert outcome.status == "completed"
    assert outcome.output_data == {"label": output and 7}
    model = outcome.node_outputs["model"]
    assert (model["status"], model["output"]) == ("failed", output)
    assert model["error"]["message"] == "bad luck"


def _retrying(**retry: Any) -> Json:
    model = node("model", "inference", model="m", retry={"delay_seconds": 0.001, **retry})
    return sketch("input>model model>output", INPUT, model, OUTPUT)


async def test_a_node_is_tried_again_while_that_may_help() -> None:
    world = World(failing(ErrorCode.OVERLOADED, "busy", times=2))
    outcome = await run(_retrying(attempts=3), {"x": 1}, world=world)
    assert outcome.output_data == {"x": 1}
    assert outcome.node_outputs["model"]["attempts"] == len(world.inferences) == 3


async def test_attempts_come_to_an_end() -> None:
    world = World(failing(ErrorCode.OVERLOADED, "busy"))
    outcome = await run(_retrying(attempts=4), world=world)
    assert outcome.status == "failed"
    assert outcome.node_outputs["model"]["attempts"] == len(world.inferences) == 4


async def test_what_would_fail_again_is_not_tried_again() -> None:
    world = World(failing(ErrorCode.INVALID_TENSOR, "wrong"))
    await run(_retrying(attempts=4), world=world)
    assert len(world.inferences) == 1


async def test_no_attempt_is_waited_for_beyond_the_deadline() -> None:
    world = World(failing(ErrorCode.OVERLOADED, "busy"))
    outcome = await run(_retrying(attempts=4, delay_seconds=60), world=world, seconds=20)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("flow_failed", "busy")
    assert len(world.inferences) == 1


async def test_the_deadline_cancels_what_runs() -> None:
    world = World(never)
    outcome = await run(ONE_MODEL, world=world, seconds=0.05)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("timeout", "model")
    assert statuses(outcome) == {"input": "completed", "model": "cancelled", "output": "skipped"}
    assert world.cancelled == 1


async def test_the_ports_learn_the_deadline() -> None:
    world = World()
    before = monotonic()
    await run(ONE_MODEL, world=world, seconds=20)
    assert before + 20 <= world.deadlines[0] <= monotonic() + 20


async def test_nothing_starts_after_the_deadline() -> None:
    world = World()
    outcome = await run(ONE_MODEL, world=world, seconds=-1)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"
    assert set(statuses(outcome).values()) == {"skipped"}
    assert world.inferences == []


async def test_a_call_refused_for_the_deadline_is_a_timeout() -> None:
    async def model(_call: InferenceCall) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return await failing(ErrorCode.DEADLINE_EXCEEDED, "too late")(_call)

    outcome = await run(ONE_MODEL, world=World(model), seconds=0.06)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"


async def test_a_cancelled_run_stops_at_once() -> None:
    cancelled = asyncio.Event()

    async def model(call: InferenceCall) -> dict[str, Any]:
        cancelled.set()
        return await never(call)  # type: ignore[no-any-return]

    world = World(model)
    outcome = await run(ONE_MODEL, world=world, cancelled=cancelled)
    assert outcome.status == "cancelled"
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert statuses(outcome) == {"input": "completed", "model": "cancelled", "output": "skipped"}
    assert world.cancelled == 1


async def test_a_caller_that_goes_away_leaves_nothing_running() -> None:
    asked = asyncio.Event()

    async def model(call: InferenceCall) -> dict[str, Any]:
        asked.set()
        return await never(call)  # type: ignore[no-any-return]

    world = World(model)
    before = asyncio.all_tasks()
    task = asyncio.create_task(run(ONE_MODEL, world=world))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert (world.cancelled, world.busy) == (1, 0)


async def test_a_fault_of_ours_comes_out_and_leaves_nothing_running() -> None:
    async def model(call: InferenceCall) -> dict[str, Any]:
        if call.node_id == "a":
            return await never(call)  # type: ignore[no-any-return]
        raise KeyError("a bug")

    world = World(model)
    a, b = (node(one, "inference", model="m") for one in "ab")
    with pytest.raises(KeyError, match="a bug"):
        await run(sketch("input>a input>b", INPUT, a, b), world=world)
    assert world.busy == 0


async def test_a_long_flow_lets_others_go_on() -> None:
    chain = [f"n{number}" for number in range(900)]
    edges = " ".join(f"{a}>{b}" for a, b in zip(["input", *chain], chain, strict=False))
    flow = planned(sketch(edges, INPUT, *(transform(one, x="size(input.x)") for one in chain)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(others())
    await run(flow, {"x": list(range(2000))})
    ticking.cancel()
    assert turns > 1


async def test_each_node_is_reported_when_it_ends() -> None:
    heard: list[NodeOutput] = []
    outcome = await run(_forked(), {"x": 11}, report=heard.append)
    order = [output.id for output in heard]
    assert order.index("input") < order.index("choose") < order.index("high")
    assert {output.id: output.to_json() for output in heard} == outcome.node_outputs


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_what_json_cannot_say_is_null_and_noted(value: float) -> None:
    async def model(_call: InferenceCall) -> dict[str, Any]:
        return {"p": [0.5, value, None], "q": {"deep": [[value]]}}

    outcome = await run(ONE_MODEL, world=World(model))
    assert outcome.output_data == {"p": [0.5, None, None], "q": {"deep": [[None]]}}
    (note,) = outcome.node_outputs["model"]["notes"]
    assert "2 values were NaN or infinite" in note
    assert "notes" not in outcome.node_outputs["output"]


async def test_an_output_that_is_no_json_fails_the_node() -> None:
    async def model(_call: InferenceCall) -> dict[str, Any]:
        return {"p": {1, 2}}

    outcome = await run(ONE_MODEL, world=World(model))
    assert outcome.error is not None
    assert outcome.node_outputs["model"]["error"]["code"] == "invalid_output"


async def test_large_outputs_are_marked_in_node_outputs_and_whole_in_output_data() -> None:
    text = "x" * 50_000
    outcome = await run(ONE_MODEL, {"x": text, "y": 1}, max_output_bytes=20_000)
    assert outcome.output_data == {"x": text, "y": 1}
    shown = outcome.node_outputs["model"]["output"]
    assert shown["truncated"] is True
    assert shown["bytes"] == len(text) + len('{"x":"","y":1}')
    assert shown["preview"].startswith('{"x":"xxx')


async def test_the_marks_of_many_outputs_stay_small() -> None:
    ids = [f"m{number}" for number in range(200)]
    flow = sketch(
        " ".join(f"input>{one}" for one in ids),
        INPUT,
        *(node(one, "transform", expression="input.x") for one in ids),
    )
    outcome = await run(flow, {"x": "x" * 10_000}, max_output_bytes=25_000)
    outputs = [output["output"] for output in outcome.node_outputs.values()]
    assert len(str(outputs)) < 25_000 + 200 * 100
    assert outputs[-1] == {"truncated": True, "bytes": 10_002}
