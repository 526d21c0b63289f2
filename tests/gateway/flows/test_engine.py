"""Execution of flows: order, concurrency, branches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from gateway.flows.ports import ModelCall
from gateway.flows.result import NodeResult
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    Json,
    build_flow,
    compiled,
    completed,
    node,
    run,
    statuses,
    transform,
)


async def test_values_are_passed_from_node_to_node() -> None:
    flow = build_flow(
        "input>twice twice>output",
        INPUT,
        transform("twice", y="input.x * 2", same="input.x"),
        node("output", "api_output", fields={"y": "twice.y", "x": "twice.same"}),
    )
    assert await completed(flow, {"x": 21}) == {"y": 42, "x": 21}


async def test_every_node_has_a_result() -> None:
    flow = build_flow(
        "input>twice twice>output",
        INPUT,
        node("twice", "transform", fields={"y": "input.x * 2"}, name="Twice"),
        OUTPUT,
    )
    outcome = await run(flow, {"x": 21})
    assert list(outcome.node_outputs) == ["input", "twice", "output"]
    twice = outcome.node_outputs["twice"]
    assert 0 <= twice.pop("duration_seconds") <= outcome.duration_seconds
    assert 0 <= twice.pop("started_seconds") <= outcome.duration_seconds
    assert twice == {
        "name": "Twice",
        "type": "transform",
        "status": "completed",
        "output": {"y": 42},
    }
    assert "output" not in outcome.node_outputs["input"], "the caller has it"
    assert "output" not in outcome.node_outputs["output"], "it is output_data"
    assert outcome.node_outputs["output"]["name"] == "output"
    assert (outcome.status, outcome.error) == ("completed", None)


async def test_a_flow_without_an_input_or_an_output_runs_too() -> None:
    assert await completed(build_flow("a>b", transform("a", x="1"), transform("b", y="a.x"))) == {}


@pytest.mark.parametrize("beside", ["wait", "inference"])
async def test_a_run_lends_its_slot_while_all_its_nodes_wait(beside: str) -> None:
    lent: list[int] = []

    @contextmanager
    def lend(size: int) -> Iterator[None]:
        lent.append(size)
        yield

    config = {"seconds": 0.01} if beside == "wait" else {"model": "m"}
    flow = build_flow(
        "input>text text>pause text>beside pause>output beside>output",
        INPUT,
        transform("text", x="'12345678'"),
        node("pause", "wait", seconds=0.02),
        node("beside", beside, **config),
        OUTPUT,
    )
    outcome = await run(flow, world=FakePorts(answer_shortly), lend_slot=lend)
    assert outcome.status == "completed", outcome.error
    # Beside a model, it lends only when that has answered; its outputs count.
    assert len(lent) == (2 if beside == "wait" else 1)
    assert all(size >= len('{"x":"12345678"}') for size in lent)


async def answer_shortly(_call: ModelCall) -> dict[str, Any]:
    await asyncio.sleep(0.005)
    return {}


async def test_independent_nodes_run_concurrently() -> None:
    ids = [f"m{number}" for number in range(5)]
    meeting = asyncio.Barrier(len(ids))  # all nodes must run at once

    async def model(call: ModelCall) -> dict[str, Any]:
        await meeting.wait()
        return {"at": call.node_id}

    flow = build_flow(
        " ".join(f"input>{one} {one}>output" for one in ids),
        INPUT,
        *(node(one, "inference", model="m") for one in ids),
        OUTPUT,
    )
    assert await completed(flow, world=FakePorts(model)) == {one: {"at": one} for one in ids}


async def test_several_api_outputs_are_merged() -> None:
    flow = build_flow(
        "input>a input>b",
        INPUT,
        node("a", "api_output", fields={"x": "1", "y": "1"}),
        node("b", "api_output", fields={"y": "2", "z": "2"}),
    )
    assert await completed(flow) == {"x": 1, "y": 2, "z": 2}


def _forked(**branch: Any) -> Json:
    return build_flow(
        "input>choose choose>high:true choose>low:false high>output low>output",
        INPUT,
        node("choose", "branch", condition="input.x > 10", **branch),
        transform("high", is_="'high'"),
        transform("low", is_="'low'"),
        node("output", "api_output", fields={"high": "high.is_", "low": "low.is_"}),
    )


async def test_only_the_chosen_case_runs_and_the_join_runs_after_it() -> None:
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


async def test_nodes_after_an_untaken_edge_are_skipped() -> None:
    chain = [f"n{number}" for number in range(500)]
    edges = " ".join(f"{a}>{b}" for a, b in pairwise(chain))
    flow = build_flow(
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
    flow = build_flow(
        "input>choose choose>a:true choose>b",
        INPUT,
        node("choose", "branch", condition="false"),
        transform("a", x="1"),
        transform("b", x="1"),
    )
    assert statuses(await run(flow))["a"] == "skipped"
    assert statuses(await run(flow))["b"] == "completed"


async def test_a_long_flow_yields_to_the_event_loop() -> None:
    chain = [f"n{number}" for number in range(900)]
    edges = " ".join(f"{a}>{b}" for a, b in pairwise(["input", *chain]))
    flow = compiled(build_flow(edges, INPUT, *(transform(one, x="size(input.x)") for one in chain)))
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
    heard: list[NodeResult] = []
    outcome = await run(_forked(), {"x": 11}, report=heard.append)
    order = [output.id for output in heard]
    assert order.index("input") < order.index("choose") < order.index("high")
    assert {output.id: output.to_json() for output in heard} == outcome.node_outputs
