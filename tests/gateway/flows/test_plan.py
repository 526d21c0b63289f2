"""Compile-time errors of flows."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.flows.flow_check import check_draft
from tests.gateway.flows.fake_ports import EVALUATOR, result_of
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    Json,
    build_flow,
    compiled,
    completed,
    node,
    transform,
    validation_errors,
)


def test_a_plan_is_in_topological_order() -> None:
    plan = compiled(
        build_flow(
            "input>b b>a a>output input>output",
            OUTPUT,
            transform("a", x="b.x"),
            INPUT,
            transform("b", x="input.x"),
        )
    )
    assert [one.id for one in plan.nodes] == ["input", "b", "a", "output"]
    assert plan.outputs == ("output",)


def test_a_plan_has_the_test_data() -> None:
    plan = compiled(
        build_flow("input>output", node("input", "api_input", test_data={"x": 1}), OUTPUT)
    )
    assert plan.test_data == {"x": 1}


def test_an_unreachable_node_is_refused() -> None:
    flow = build_flow(
        "input>output lost>more", INPUT, OUTPUT, transform("lost", x="1"), transform("more", x="1")
    )
    found = validation_errors(flow)
    assert set(found) == {"#/nodes/2", "#/nodes/3"}
    assert found["#/nodes/2"].startswith("'lost' is not reachable from 'input'")
    result_of(check_draft(flow, EVALUATOR))  # a draft may be disconnected


def test_a_second_api_input_is_refused() -> None:
    found = validation_errors(
        build_flow("a>output b>output", node("a", "api_input"), node("b", "api_input"), OUTPUT)
    )
    assert "'a' is one already" in found["#/nodes/1/type"]


def test_expressions_read_only_earlier_nodes() -> None:
    flow = build_flow(
        "input>a input>b",
        INPUT,
        transform("a", x="input.x"),
        transform("b", x="a.x", y="b.x", z="missing.x", u="a.xs.map(v, v + missing)"),
    )
    found = validation_errors(flow)
    fields = "#/nodes/2/config/fields"
    assert "add an edge from 'a' to 'b'" in found[f"{fields}/x"]
    assert "'b' does not run before this" in found[f"{fields}/y"]
    assert "unknown node 'missing'" in found[f"{fields}/z"]
    assert fields + "/u" in found
    with pytest.raises(GatewayError):
        result_of(check_draft(flow, EVALUATOR))


async def test_expressions_may_read_indirect_predecessors() -> None:
    flow = build_flow(
        "input>a a>b b>output",
        INPUT,
        transform("a", x="1"),
        transform("b", y="2"),
        node("output", "api_output", fields={"x": "a.x", "in": "input.x"}),
    )
    assert await completed(flow, {"x": 3}) == {"x": 1, "in": 3}


@pytest.mark.parametrize(
    ("bad", "pointer", "words"),
    [
        (transform("n", x="1 +"), "fields/x", "'1 +'"),
        (transform("n", **{"a/b": "f(1)"}), "fields/a~1b", "unknown function 'f'"),
        (node("n", "transform"), "fields", "either fields or expression"),
        (node("n", "transform", fields={"x": "1"}, expression="1"), "fields", "either"),
        (node("n", "transform", fields={}), "fields", "at least one member"),
        (node("n", "transform", expression=" "), "expression", "an expression"),
        (node("n", "transform", expression="1", code="x"), "code", "unknown member"),
        (node("n", "branch"), "cases", "expected 1 to 50"),
        (node("n", "branch", condition="1 +"), "condition", "'1 +'"),
        (node("n", "branch", condition="true", default="x"), "default", "either condition"),
        (node("n", "branch", cases=[{"name": "a", "when": "1 +"}]), "cases/0/when", "'1 +'"),
        (node("n", "branch", cases=[{"name": "a"}]), "cases/0/when", "true or false"),
        (
            node("n", "branch", cases=[{"name": "a", "when": "true"}] * 2),
            "cases/1/name",
            "duplicate case",
        ),
        (
            node("n", "branch", cases=[{"name": "a", "when": "true"}], default="a"),
            "cases/0/name",
            "duplicate case",
        ),
        (node("n", "branch", cases=[1]), "cases", "a list of objects"),
        (node("n", "wait"), "seconds", "expected seconds"),
        (node("n", "wait", seconds=-1), "seconds", "from 0 to 86400, got -1"),
        (node("n", "wait", seconds=True), "seconds", "got True"),
        (node("n", "wait", seconds="input."), "seconds", "'input.'"),
        (node("n", "python", function="nothing"), "function", "unknown Python node 'nothing'"),
        (node("n", "python"), "function", "entry point"),
        (node("n", "http_request"), "url", "a URL"),
        (node("n", "http_request", url="{{ 1 + }}"), "url", "'"),
        (node("n", "http_request", url="u", method="BREW"), "method", "one of GET"),
        (
            node("n", "http_request", url="u", headers={"Host": "x"}),
            "headers/Host",
            "valid header name",
        ),
        (
            node("n", "http_request", url="u", headers={"a b": "x"}),
            "headers/a b",
            "valid header name",
        ),
        (node("n", "http_request", url="u", json="1", text="x"), "text", "either json or text"),
        (node("n", "http_request", url="u", json={"x": "1 +"}), "json/x", "'1 +'"),
        (node("n", "http_request", url="u", expect=["ok"]), "expect", "a list of statuses"),
        (node("n", "http_request", url="u", max_bytes=0), "max_bytes", "a whole number"),
        (node("n", "http_request", url="u", query={"x": 1}), "query/x", "an expression"),
        (node("n", "inference", model="m", inputs={"x": "y.z"}), "inputs/x", "unknown node 'y'"),
    ],
)
def test_configuration_errors_have_pointers(bad: Json, pointer: str, words: str) -> None:
    found = validation_errors(build_flow("input>n", INPUT, bad))
    assert words in found[f"#/nodes/1/config/{pointer}"]


@pytest.mark.parametrize(
    ("own", "pointer", "words"),
    [
        ({"retry": []}, "retry", "an object"),
        ({"retry": {"attempts": 0}}, "retry/attempts", "from 1 to 10, got 0"),
        ({"retry": {"attempts": 1.5}}, "retry/attempts", "a whole number"),
        ({"retry": {"delay_seconds": 1e9}}, "retry/delay_seconds", "from 0 to 300"),
        ({"retry": {"backoff": "x"}}, "retry/backoff", "from 1 to 10"),
        (
            {"retry": {"tries": 3}},
            "retry/tries",
            "expected one of attempts, backoff, delay_seconds",
        ),
        ({"on_error": "ignore"}, "on_error", '{"fallback": value}'),
        ({"on_error": {"fallback": 1, "x": 2}}, "on_error", '{"fallback": value}'),
        ({"on_error": {"fallback": 10**30}}, "on_error/fallback", "not JSON"),
    ],
)
def test_errors_in_retry_and_on_error_have_pointers(own: Json, pointer: str, words: str) -> None:
    found = validation_errors(build_flow("input>n", INPUT, transform("n", x="1") | own))
    assert words in found[f"#/nodes/1/{pointer}"]


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        ("choose>a:maybe", "'choose' has no case 'maybe', expected one of: 'true', 'false'"),
        ("input>a:true", "'input' has no case 'true', expected one of: none"),
    ],
)
def test_an_edge_with_an_unknown_case_is_refused(edge: str, words: str) -> None:
    choose = node("choose", "branch", condition="true")
    flow = build_flow(f"input>choose choose>a:true {edge}", INPUT, choose, transform("a", x="1"))
    assert validation_errors(flow) == {"#/edges/2/case": words}


def test_a_case_must_be_a_string() -> None:
    flow = build_flow("input>output", INPUT, OUTPUT)
    flow["edges"][0]["case"] = 1
    assert "name of a case" in validation_errors(flow)["#/edges/0/case"]


@pytest.mark.parametrize("word", ["true", "in", "loop", "null"])
def test_reserved_words_of_cel_are_refused_as_ids(word: str) -> None:
    flow = build_flow(f"input>{word}", INPUT, transform(word, x="1"))
    assert "a reserved word of CEL" in validation_errors(flow)["#/nodes/1/id"]


def test_a_model_without_inputs_needs_exactly_one_predecessor() -> None:
    model = node("model", "inference", model="m")
    flow = build_flow("input>a input>model a>model", INPUT, transform("a", x="1"), model)
    assert "2 nodes precede this one" in validation_errors(flow)["#/nodes/2/config/inputs"]


@pytest.mark.parametrize(
    "parts",
    [
        [transform("a", **{f"x{at}": "input.x" for at in range(5_001)})],
        [transform(f"n{n}", **{f"x{at}": "input.x" for at in range(51)}) for n in range(100)],
        [node("a", "http_request", url="https://example.com/" + "{{ input.x }}" * 5_001)],
    ],
    ids=["fields", "nodes", "template"],
)
def test_the_number_of_expressions_is_limited(parts: list[Json]) -> None:
    edges = " ".join(f"input>{part['id']}" for part in parts)
    found = validation_errors(build_flow(edges, INPUT, *parts))
    assert found == {"#/nodes": "expected at most 5000 expressions in a flow"}
