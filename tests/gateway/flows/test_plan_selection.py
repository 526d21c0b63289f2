"""Parts of flows: up to a node, one node, and with pinned outputs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.flows.plan import FlowPlan, compile_plan, reachable_part
from gateway.flows.plan_selection import NodeSelection, select_nodes
from gateway.flows.spec import parse_flow
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    Json,
    build_flow,
    compiled,
    node,
    run,
    statuses,
    transform,
)

FLOW = build_flow(
    "input>a a>b b>c input>other other>output c>output",
    INPUT,
    transform("a", x="input.x + 1"),
    transform("b", x="a.x * 10"),
    transform("c", x="b.x + a.x"),
    transform("other", y="input.x"),
    node("output", "api_output", fields={"x": "c.x", "y": "other.y"}),
)


def selected(flow: Json, **selection: Any) -> FlowPlan:
    """Return the plan of what is selected."""
    return select_nodes(compiled(flow), NodeSelection(**selection))


def outputs(result: Any) -> Json:
    """Return the outputs that are shown."""
    return {
        node_id: one["output"] for node_id, one in result.node_outputs.items() if "output" in one
    }


async def test_without_a_selection_all_nodes_run() -> None:
    result = await run(selected(FLOW), {"x": 1})
    assert result.output_data == {"x": 22, "y": 1}


async def test_up_to_a_node_only_what_it_needs_runs() -> None:
    result = await run(selected(FLOW, until="b"), {"x": 1})
    assert outputs(result) == {"a": {"x": 2}, "b": {"x": 20}}
    assert set(statuses(result)) == {"input", "a", "b"}
    assert result.output_data == {}


async def test_a_pinned_node_does_not_run_nor_what_only_it_needs() -> None:
    flow = build_flow(
        "input>slow slow>b b>output",
        INPUT,
        node("slow", "inference", model="m", inputs={"x": "input.x"}),
        node("b", "inference", model="m", inputs={"x": "slow.x"}),
        node("output", "api_output", fields={"x": "b.x"}),
    )
    result = await run(selected(flow, pins={"b": {"x": 7}}), {"x": 1})
    assert set(statuses(result)) == {"b", "output"}
    assert result.output_data == {"x": 7}


async def test_what_another_node_reads_runs_before_a_pinned_one() -> None:
    result = await run(selected(FLOW, pins={"b": {"x": 100}}), {"x": 1})
    assert result.output_data == {"x": 102, "y": 1}
    assert outputs(result)["a"] == {"x": 2}


async def test_one_node_runs_with_what_it_reads() -> None:
    result = await run(selected(FLOW, only="c", pins={"a": {"x": 1}, "b": {"x": 2}}))
    assert outputs(result)["c"] == {"x": 3}
    assert set(statuses(result)) == {"a", "b", "c"}
    with_input = await run(selected(FLOW, only="a"), {"x": 5})
    assert outputs(with_input) == {"a": {"x": 6}}


async def test_one_node_runs_even_if_a_pinned_branch_would_skip_it() -> None:
    flow = build_flow(
        "input>br br>a:true a>output",
        INPUT,
        node("br", "branch", condition="input.x > 1"),
        transform("a", x="br.case"),
        OUTPUT,
    )
    result = await run(selected(flow, only="a", pins={"br": {"case": "false"}}))
    assert outputs(result)["a"] == {"x": "false"}


@pytest.mark.parametrize("case", ["true", "false"])
async def test_a_pinned_branch_decides_its_edges(case: str) -> None:
    flow = build_flow(
        "input>br br>a:true br>b:false a>output b>output",
        INPUT,
        node("br", "branch", condition="input.x > 1"),
        transform("a", x="1"),
        transform("b", x="2"),
        OUTPUT,
    )
    result = await run(selected(flow, pins={"br": {"case": case}}), {"x": 0})
    ran = {"true": "a", "false": "b"}[case]
    assert statuses(result)[ran] == "completed"
    assert sorted(statuses(result).values()).count("skipped") == 1


@pytest.mark.parametrize("value", [None, 1, "text", [1], {"deep": {"x": None}}])
async def test_any_json_is_an_output(value: object) -> None:
    flow = build_flow("input>a a>output", INPUT, transform("a", x="1"), OUTPUT)
    result = await run(selected(flow, until="a", pins={"a": value}))
    assert outputs(result) == {"a": value}


@pytest.mark.parametrize(
    ("selection", "pointer", "words"),
    [
        ({"until": "a", "only": "a"}, "#/only", "either"),
        ({"until": "nope"}, "#/until", "'nope'"),
        ({"only": "nope"}, "#/only", "'nope'"),
        ({"pins": {"nope": 1}}, "#/pins", "'nope'"),
        ({"only": "c", "pins": {"a": {"x": 1}}}, "#/pins", "reads 'b'"),
    ],
)
def test_a_selection_names_nodes(selection: Json, pointer: str, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        selected(FLOW, **selection)
    assert caught.value.code == "validation_failed"
    (error,) = caught.value.errors
    assert error["pointer"] == pointer
    assert words in error["detail"]


def test_what_is_not_reachable_is_left_out() -> None:
    flow = build_flow("input>output lost>more", INPUT, OUTPUT, *map(transform, ("lost", "more")))
    for one in flow["nodes"][2:]:
        one["config"] = {"expression": "1"}
    plan = compile_plan(reachable_part(parse_flow(flow)))
    assert [one.id for one in plan.nodes] == ["input", "output"]
