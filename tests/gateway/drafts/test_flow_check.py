"""Checks of drafts: all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.flows.flow_builder import INPUT, OUTPUT, build_flow, node, transform
from tests.gateway.in_process_gateway import InProcessGateway, flow_json

Json = dict[str, Any]
CHECK = "/node/flows/check/"


async def checked(gateway: InProcessGateway, flow: Json) -> Json:
    """Return the answer to a check."""
    user = await gateway.user()
    answer = await user.post(CHECK, json={"nodes": flow["nodes"], "edges": flow["edges"]})
    assert answer.status_code == 200, answer.text
    assert (await user.get("/node/flows/")).json()["items"] == []
    found: Json = answer.json()
    return found


def listed(answer: Json) -> set[tuple[str, str, str | None, str]]:
    """Return the problems without their sentences."""
    return {
        (one["severity"], one["code"], one["node_id"], one["pointer"]) for one in answer["problems"]
    }


async def test_a_flow_without_problems(in_process_gateway: InProcessGateway) -> None:
    answer = await checked(in_process_gateway, flow_json())
    assert answer["problems"] == []
    assert answer["fast"] == {"possible": True, "reason": None}
    assert answer["models"] == [
        {"node_id": "model", "model": "mlp", "version": "latest", "resolved": 2}
    ]
    assert answer["input_schema"]["required"] == ["x"]


async def test_a_flow_that_needs_the_engine(in_process_gateway: InProcessGateway) -> None:
    flow = build_flow("input>t t>output", INPUT, transform("t", x="size(input.texts)"), OUTPUT)
    answer = await checked(in_process_gateway, flow)
    assert answer["problems"] == []
    assert answer["fast"]["possible"] is False
    assert "inference" in answer["fast"]["reason"]


async def test_problems_of_all_kinds_are_found_at_once(
    in_process_gateway: InProcessGateway,
) -> None:
    flow = build_flow(
        "input>a a>b b>model input>branch branch>output:no input>nowhere lost>more",
        node("input", "api_input", schema={"type": "nothing"}, test_data=1),
        transform("a", x="input.x +", y="b.y", z="missing.z"),
        node("b", "magic"),
        node("model", "inference", model="unknown"),
        node("nameless", "inference", model=""),
        node("branch", "branch", condition="b.y"),
        node("py", "python", function="not_installed"),
        OUTPUT,
        transform("lost", x="1"),
        transform("more", x="1"),
        {"id": "no-id", "type": "wait"},
    )
    flow["edges"].append({"source": "input", "target": "py"})
    answer = await checked(in_process_gateway, flow)
    error, warning = "error", "warning"
    assert listed(answer) == {
        (error, "invalid_schema", "input", "#/nodes/0/config/schema/type"),
        (error, "invalid_config", "input", "#/nodes/0/config/test_data"),
        (error, "invalid_expression", "a", "#/nodes/1/config/fields/x"),
        (error, "unknown_reference", "a", "#/nodes/1/config/fields/y"),
        (error, "unknown_reference", "a", "#/nodes/1/config/fields/z"),
        (error, "unknown_type", "b", "#/nodes/2/type"),
        (error, "invalid_config", "nameless", "#/nodes/4/config/model"),
        (error, "unknown_reference", "branch", "#/nodes/5/config/condition"),
        (error, "unknown_function", "py", "#/nodes/6/config/function"),
        (error, "invalid_id", "no-id", "#/nodes/10/id"),
        (error, "invalid_edge", None, "#/edges/4/case"),
        (error, "invalid_edge", None, "#/edges/5/target"),
        (warning, "unknown_model", "model", "#/nodes/3/config/model"),
        (warning, "unreachable", "nameless", "#/nodes/4"),
        (warning, "unreachable", "lost", "#/nodes/8"),
        (warning, "unreachable", "more", "#/nodes/9"),
    }
    assert [one["node_id"] for one in answer["models"]] == ["model"]
    assert answer["fast"]["possible"] is False


async def test_a_cycle_does_not_hide_other_problems(in_process_gateway: InProcessGateway) -> None:
    flow = build_flow("a>b b>a", transform("a", x="b.x"), transform("b", x="a.x +"))
    assert listed(await checked(in_process_gateway, flow)) == {
        ("error", "cycle", None, "#/edges"),
        ("error", "invalid_expression", "b", "#/nodes/1/config/fields/x"),
    }


async def test_what_only_keeps_a_flow_from_being_deployed_is_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    flow = build_flow("a>output", INPUT | {"id": "a"}, INPUT | {"id": "b"}, OUTPUT)
    answer = await checked(in_process_gateway, flow)
    assert listed(answer) == {
        ("warning", "second_input", "b", "#/nodes/1/type"),
        ("warning", "unreachable", "b", "#/nodes/1"),
    }
    user = await in_process_gateway.user("bob@example.com")
    assert (await user.post("/node/flows/", json={**flow, "name": "f"})).status_code == 201


@pytest.mark.parametrize(
    "flow",
    [
        {"nodes": [], "edges": []},
        {"nodes": [{}], "edges": [{}]},
        {"nodes": [node("x", "api_input", test_data={"x": [[]] * 3})] * 1_001, "edges": []},
    ],
)
async def test_a_flow_that_cannot_be_read_has_problems(
    in_process_gateway: InProcessGateway, flow: Json
) -> None:
    assert (await checked(in_process_gateway, flow))["problems"]


async def test_the_answer_is_bounded(in_process_gateway: InProcessGateway) -> None:
    unknown = {f"member{number}": 1 for number in range(10_000)}
    flow = build_flow("", node("w", "wait", seconds=1, **unknown))
    assert len((await checked(in_process_gateway, flow))["problems"]) == 500


async def test_saving_and_the_check_agree(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    flow = build_flow("input>t", INPUT, transform("t", x="inptu.x", y="1 +"))
    saved = (await user.post("/node/flows/", json={**flow, "name": "f"})).json()
    check = (await user.post(CHECK, json=flow)).json()
    assert [(one["pointer"], one["detail"]) for one in check["problems"]] == [
        (one["pointer"], one["detail"]) for one in saved["errors"]
    ]
