"""What a run sees of its evaluators."""

from __future__ import annotations

import json
from time import monotonic

import pytest

from gateway.children.metrics import ChildMetrics
from gateway.errors import GatewayError
from gateway.flows.processes import build_flow_processes
from gateway.flows.programs import Program
from gateway.settings import Settings
from telemetry.instruments import Registry
from tests.gateway.flows.fake_ports import EVALUATOR
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    build_flow,
    compiled,
    completed,
    run,
    transform,
)

SIZE = transform("size", n="size(input.text)")
LARGE = {"text": "x" * 9_000_000}
PROGRAM = Program(SIZE, ["size(input.text)"], before=["input"], earlier={"input"})


def test_plain_paths_and_constants_need_no_evaluator() -> None:
    plain = transform("plain", a="input.a", b="'text'", c="2.5", d="null")
    assert not compiled(
        build_flow("input>plain plain>output", INPUT, plain, OUTPUT)
    ).needs_evaluator
    assert compiled(build_flow("input>size", INPUT, SIZE)).needs_evaluator


async def test_values_that_are_too_large_fail_the_run() -> None:
    flow = build_flow("input>size size>output", INPUT, SIZE, OUTPUT)
    outcome = await run(flow, LARGE)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("evaluation_limit", "size")
    assert "9000021 bytes, at most 8388608" in outcome.error.message
    assert (await run(flow, {"text": "x", "other": LARGE})).error is None, "it is not read"


async def test_a_flow_can_continue_after_a_limit() -> None:
    flow = build_flow("input>size size>output", INPUT, SIZE | {"on_error": "continue"}, OUTPUT)
    assert await completed(flow, LARGE) == {"result": None}


async def test_a_missing_member_is_reported_with_the_existing_ones() -> None:
    both = transform("both", a="input.a", n="size(input.b)")
    outcome = await run(build_flow("input>both", INPUT, both), {"b": "x", "c": 1})
    assert outcome.error is not None
    assert "input has no 'a', only 'b', 'c'" in outcome.error.message


async def test_nothing_is_evaluated_after_the_end() -> None:
    processes = build_flow_processes(Settings(), ChildMetrics(Registry()))
    await processes.close()
    evaluator = processes.evaluator("a tenant")
    with pytest.raises(GatewayError) as caught:
        await evaluator.evaluate(PROGRAM, {"input": {"text": ""}}, monotonic() + 9)
    assert caught.value.code == "shutting_down"


async def test_a_schema_that_is_no_longer_valid_refuses_input() -> None:
    old = json.dumps({"properties": {"x": {"pattern": "a" * 2_000}}})
    (error,) = await EVALUATOR.validate(old, b"{}", monotonic() + 9)
    assert "/properties/x/pattern: expected a pattern of at most 1000" in error["detail"]
