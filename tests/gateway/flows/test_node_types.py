"""Node types at run time."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.ports import ModelCall
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    build_flow,
    completed,
    node,
    run,
    statuses,
    transform,
)


def test_every_handler_is_registered_under_its_type() -> None:
    assert {name: kind.type for name, kind in HANDLERS.items()} == {name: name for name in HANDLERS}


CHOICE = {
    "cases": [{"name": "high", "when": "input.x > 10"}, {"name": "odd", "when": "input.x % 2 == 1"}]
}


@pytest.mark.parametrize(
    ("x", "default", "case"),
    [(11, None, "high"), (7, None, "odd"), (4, "rest", "rest"), (4, None, None)],
)
async def test_the_first_true_case_is_chosen(x: int, default: Any, case: str | None) -> None:
    config = CHOICE if default is None else CHOICE | {"default": default}
    edges = "input>choose choose>a:high choose>b:odd choose>c:odd choose>d:high choose>d:odd"
    flow = build_flow(
        edges, INPUT, node("choose", "branch", **config), *(transform(one, x="1") for one in "abcd")
    )
    outcome = await run(flow, {"x": x})
    assert outcome.node_outputs["choose"]["output"] == {"case": case}
    ran = {one for one, status in statuses(outcome).items() if status == "completed"}
    expected = {"high": {"a", "d"}, "odd": {"b", "c", "d"}}.get(case or "", set())
    assert ran == {"input", "choose"} | expected


@pytest.mark.parametrize(("x", "kind"), [("'text'", "str"), ("null", "null"), ("1", "int")])
async def test_a_condition_must_be_a_boolean(x: str, kind: str) -> None:
    outcome = await run(build_flow("input>n", INPUT, node("n", "branch", condition=x)))
    assert outcome.error is not None
    assert outcome.error.message == f"'{x}': expected true or false, got {kind}"


async def test_a_transform_may_compute_a_single_value() -> None:
    flow = build_flow(
        "input>n n>output", INPUT, node("n", "transform", expression="[input.x]"), OUTPUT
    )
    assert await completed(flow, {"x": 1}) == {"result": [1]}


@pytest.mark.parametrize("seconds", [0.001, "input.s", "input.s * 1.0"])
async def test_a_wait_pauses(seconds: Any) -> None:
    flow = build_flow("input>n", INPUT, node("n", "wait", seconds=seconds))
    outcome = await run(flow, {"s": 0.001})
    assert outcome.node_outputs["n"]["output"] == {"seconds": 0.001}
    assert outcome.node_outputs["n"]["duration_seconds"] >= 0.001


@pytest.mark.parametrize("seconds", [-1, 1e9, "soon", None, True])
async def test_a_wait_refuses_invalid_durations(seconds: Any) -> None:
    outcome = await run(
        build_flow("input>n", INPUT, node("n", "wait", seconds="input.s")), {"s": seconds}
    )
    assert outcome.node_outputs["n"]["error"]["code"] == "invalid_value"


async def test_model_inputs_are_named_expressions() -> None:
    world = FakePorts()
    model = node("m", "inference", model="iris", version=3, inputs={"x": "input.flower.x"})
    await run(build_flow("input>m", INPUT, model), {"flower": {"x": [1.5]}, "y": 1}, world=world)
    assert world.inferences == [
        ModelCall(node_id="m", model="iris", version="3", inputs={"x": [1.5]}, exact=True)
    ]


async def test_a_model_receives_the_whole_preceding_output() -> None:
    world = FakePorts()
    flow = build_flow(
        "input>a a>m", INPUT, transform("a", x="input.n"), node("m", "inference", model="m")
    )
    await run(flow, {"n": 1}, world=world)
    assert world.inferences == [
        ModelCall(node_id="m", model="m", version="latest", inputs={"x": 1}, exact=False)
    ]


async def test_a_model_requires_an_object() -> None:
    flow = build_flow(
        "input>a a>m",
        INPUT,
        node("a", "transform", expression="1"),
        node("m", "inference", model="m"),
    )
    outcome = await run(flow)
    assert outcome.error is not None
    assert (
        outcome.error.message
        == "expected the output of 'a' to be an object with the model's inputs"
    )


async def test_an_output_without_fields_passes_on_preceding_outputs() -> None:
    one = build_flow("input>output", INPUT, OUTPUT)
    assert await completed(one, {"x": 1}) == {"x": 1}
    two = build_flow("input>a input>output a>output", INPUT, transform("a", y="2"), OUTPUT)
    assert await completed(two, {"x": 1}) == {"a": {"y": 2}, "input": {"x": 1}}
    assert await completed(build_flow("", OUTPUT)) == {}
