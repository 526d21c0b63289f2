"""Parsing of flows, and errors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.flows.cel.paths import Path, parse_path
from gateway.flows.flow_check import check_draft
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.node_types.api_output import ApiOutput
from gateway.flows.node_types.inference import Inference
from gateway.flows.spec import parse_flow
from tests.gateway.flows.fake_ports import EVALUATOR, result_of
from tests.gateway.in_process_gateway import flow_json

Flow = dict[str, Any]


def refused(flow: Flow) -> list[dict[str, str]]:
    """Return the errors of a draft."""
    with pytest.raises(GatewayError) as caught:
        result_of(check_draft(flow, EVALUATOR))
    assert caught.value.code == "invalid_flow"
    return [dict(error) for error in caught.value.errors]


def test_the_documented_flow_is_parsed() -> None:
    flow = flow_json("iris", inputs={"x": "input.x"})
    flow["nodes"][2]["config"] = {"fields": {"label": "model.label"}}
    spec = parse_flow(flow)
    assert [node.type for node in spec.nodes] == ["api_input", "inference", "api_output"]
    source, model, target = (node.config for node in spec.nodes)
    assert source == ApiInput(schema=None, test_data={"x": [[1, 2, 3, 4]]})
    assert model == Inference(model="iris", version="latest", inputs={"x": "input.x"})
    assert target == ApiOutput(fields={"label": "model.label"})
    assert spec.inferences() == {"model": model}
    assert spec.of_type("branch") == ()


def test_additional_members_are_ignored() -> None:
    flow = flow_json()
    flow["nodes"][0] |= {"position": {"x": 1, "y": 2}, "label": "In"}
    flow["edges"][0]["id"] = "e1"
    parse_flow(flow)


def test_a_version_may_be_a_number() -> None:
    assert parse_flow(flow_json(version=3)).inferences()["model"].version == "3"  # type: ignore[arg-type]


def _set(*path: Any, to: Any) -> Callable[[Flow], None]:
    def change(flow: Flow) -> None:
        target: Any = flow
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        (_set("nodes", to={}), "#/nodes", "list of objects"),
        (_set("nodes", to=[]), "#/nodes", "at least one"),
        (_set("nodes", to=[1]), "#/nodes", "list of objects"),
        (_set("edges", to="x"), "#/edges", "list of objects"),
        (_set("nodes", 0, "id", to="my-node"), "#/nodes/0/id", "got 'my-node'"),
        (_set("nodes", 0, "id", to=None), "#/nodes/0/id", "got None"),
        (_set("nodes", 1, "type", to="magic"), "#/nodes/1/type", "got 'magic'"),
        (_set("nodes", 1, "type", to=["inference"]), "#/nodes/1/type", "expected one of"),
        (_set("nodes", 1, "config", to=[]), "#/nodes/1/config", "an object"),
        (_set("nodes", 1, "config", "model", to=""), "#/nodes/1/config/model", "name of a model"),
        (_set("nodes", 1, "config", "version", to=True), "#/nodes/1/config/version", "latest"),
        (_set("nodes", 1, "config", "inputs", to=[]), "#/nodes/1/config/inputs", "an object"),
        (_set("nodes", 1, "config", "inputs", to={}), "#/nodes/1/config/inputs", "omit it"),
        (
            _set("nodes", 1, "config", "inputs", to={"a/b~": 1}),
            "#/nodes/1/config/inputs/a~1b~0",
            "an expression",
        ),
        (
            _set("nodes", 1, "config", "inputs", to={"x": "inptu.x"}),
            "#/nodes/1/config/inputs/x",
            "unknown node 'inptu'",
        ),
        (_set("nodes", 0, "config", "test_data", to=1), "#/nodes/0/config/test_data", "an object"),
        (_set("nodes", 1, "id", to="input"), "#/nodes/1/id", "duplicate node id"),
        (_set("edges", 0, to={"source": "input"}), "#/edges/0", "`target`"),
        (_set("edges", 1, "target", to="missing"), "#/edges/1/target", "unknown node 'missing'"),
        (
            _set("edges", 1, to={"source": "input", "target": "model"}),
            "#/edges/1",
            "duplicate edge",
        ),
    ],
)
def test_errors_have_pointers(change: Callable[[Flow], None], pointer: str, words: str) -> None:
    flow = flow_json()
    change(flow)
    assert any(error["pointer"] == pointer and words in error["detail"] for error in refused(flow))


def test_a_cycle_is_reported_with_its_nodes() -> None:
    flow = flow_json()
    flow["edges"].append({"source": "output", "target": "input"})
    (error,) = refused(flow)
    names = error["detail"].removeprefix("the flow contains a cycle: ").split(" → ")
    assert names[0] == names[-1]
    assert set(names) == {"input", "model", "output"}


def test_all_errors_are_reported_at_once() -> None:
    flow = flow_json("")
    flow["nodes"][0]["type"] = "magic"
    assert {error["pointer"] for error in refused(flow)} == {
        "#/nodes/0/type",
        "#/nodes/1/config/model",
    }


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "\ud800"])
def test_flows_that_clients_cannot_parse_are_refused(value: object) -> None:
    flow = flow_json()
    flow["nodes"][0]["config"]["test_data"] = {"x": value}
    refused(flow)


def test_nesting_depth_is_limited() -> None:
    flow = flow_json()
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    flow["nodes"][0]["config"]["test_data"] = {"x": nested}
    refused(flow)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_places = st.sampled_from(
    [
        ("nodes",),
        ("edges",),
        ("nodes", 0),
        ("nodes", 0, "id"),
        ("nodes", 0, "type"),
        ("nodes", 1, "config"),
        ("nodes", 1, "config", "model"),
        ("nodes", 1, "config", "inputs"),
        ("nodes", 2, "config", "fields"),
        ("edges", 0),
        ("edges", 0, "source"),
    ]
)


@given(place=_places, value=_json)
def test_any_json_is_parsed_or_refused(place: tuple[Any, ...], value: Any) -> None:
    flow = copy.deepcopy(flow_json())
    _set(*place, to=value)(flow)
    with suppress(GatewayError):
        result_of(check_draft(flow, EVALUATOR))


_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
_quotable = st.text().filter(lambda text: '"' not in text and "\\" not in text)


@given(
    node=_names,
    names=st.lists(st.tuples(st.booleans(), _names) | st.tuples(st.just(True), _quotable)),
)
def test_a_path_round_trips(node: str, names: list[tuple[bool, str]]) -> None:
    steps = (f'["{name}"]' if quoted else f".{name}" for quoted, name in names)
    expected = Path(node=node, names=tuple(name for _, name in names))
    assert parse_path(node + "".join(steps)) == expected


@pytest.mark.parametrize(
    "expression",
    ["", "input.", ".x", "input x", "input.x + 1", "size(input.x)", "input[0]", 'input["x]', "1.x"],
)
def test_other_expressions_are_not_paths(expression: str) -> None:
    assert parse_path(expression) is None
