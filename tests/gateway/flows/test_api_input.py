"""Validation of `input_data`."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.children.metrics import ChildMetrics
from gateway.errors import GatewayError
from gateway.flows.plan import FlowPlan
from gateway.flows.processes import build_flow_processes
from gateway.settings import Settings
from telemetry.instruments import Registry
from tests.gateway.flows.flow_builder import (
    OUTPUT,
    build_flow,
    checked_input,
    compiled,
    node,
    validation_errors,
)
from tests.timing import TIMEOUT_SECONDS

FLOWER = {
    "type": "object",
    "required": ["x"],
    "properties": {
        "x": {"type": "array", "items": {"type": "number"}, "minItems": 2},
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "a/b": {"type": "integer"},
    },
}


def plan(schema: Any = None, **config: Any) -> FlowPlan:
    """Return the plan of a flow with this input."""
    return compiled(
        build_flow("input>output", node("input", "api_input", schema=schema, **config), OUTPUT)
    )


def complaints(checked: FlowPlan, input_data: dict[str, Any]) -> dict[str, str]:
    """Return the errors of an input: pointer → detail."""
    with pytest.raises(GatewayError) as caught:
        checked_input(checked, input_data)
    assert caught.value.code == "invalid_input"
    return {error["pointer"]: error["detail"] for error in caught.value.errors}


def test_without_a_schema_any_input_is_accepted() -> None:
    assert checked_input(plan(), {"param1": "value1"}) == {"param1": "value1"}


def test_all_errors_are_reported_with_pointers() -> None:
    found = complaints(plan(FLOWER), {"x": [1, "two"], "name": "Ada!", "a/b": 1.5})
    assert set(found) == {"#/input_data/x/1", "#/input_data/name", "#/input_data/a~1b"}
    assert "'two' is not of type 'number'" in found["#/input_data/x/1"]
    assert "does not match" in found["#/input_data/name"]
    assert "'x' is a required property" in complaints(plan(FLOWER), {})["#/input_data"]


def test_the_number_of_reported_errors_is_limited() -> None:
    assert len(complaints(plan(FLOWER), {"x": ["no"] * 1000})) == 20


def test_additional_inputs_are_dropped() -> None:
    assert checked_input(plan(FLOWER), {"x": [1, 2], "param1": "value1"}) == {"x": [1, 2]}


def test_additional_properties_false_still_drops_them() -> None:
    closed = FLOWER | {"additionalProperties": False}
    assert checked_input(plan(closed), {"x": [1, 2], "param1": 1}) == {"x": [1, 2]}


def test_additional_inputs_can_be_refused() -> None:
    rejecting = plan(FLOWER, additional_inputs="reject")
    assert complaints(rejecting, {"x": [1, 2], "param1": 1}) == {
        "#/input_data/param1": "unknown input 'param1'; expected one of 'a/b', 'name', 'x'"
    }
    assert checked_input(rejecting, {"x": [1, 2]}) == {"x": [1, 2]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"properties": {"x": {}}, "additionalProperties": True},
        {"properties": {"x": {}}, "additionalProperties": {"type": "integer"}},
        {"properties": {"x": {}}, "anyOf": [{"required": ["y"]}, {"required": ["z"]}]},
    ],
)
def test_an_open_schema_keeps_additional_inputs(schema: dict[str, Any]) -> None:
    assert checked_input(plan(schema), {"x": 1, "y": 2}) == {"x": 1, "y": 2}


def test_the_callers_data_is_not_modified() -> None:
    sent = {"x": [1, 2], "param1": 1}
    checked_input(plan(FLOWER), sent)
    assert sent == {"x": [1, 2], "param1": 1}


def test_a_schema_may_refer_to_itself() -> None:
    tree = {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"children": {"items": {"$ref": "#/$defs/tree"}}},
            }
        },
    }
    checked = plan(tree)
    assert checked_input(checked, {"children": [{"children": []}]}) == {
        "children": [{"children": []}]
    }
    assert set(complaints(checked, {"children": [{"children": [1]}]})) == {
        "#/input_data/children/0/children/0"
    }


@pytest.mark.parametrize(
    ("schema", "pointer", "words"),
    [
        ({"type": "flower"}, "/type", "not a valid JSON Schema"),
        (
            {"properties": {"x": {"minimum": "a"}}},
            "/properties/x/minimum",
            "not a valid JSON Schema",
        ),
        ({"$ref": "http://169.254.169.254/"}, "/$ref", "expected a reference within the schema"),
        ({"$ref": "file:///etc/passwd"}, "/$ref", "expected a reference within the schema"),
        (
            {"allOf": [{"$ref": "other.json"}]},
            "/allOf/0/$ref",
            "expected a reference within the schema",
        ),
        ({"$ref": "#/$defs/none"}, "/$ref", "'#/$defs/none' does not exist"),
        ({"pattern": "(?=look)"}, "/pattern", "without look-around"),
        ({"pattern": "(unclosed"}, "/pattern", "not a valid JSON Schema"),
        ({"pattern": "a" * 3_000_000}, "/pattern", "at most 1000 characters, got 3000000"),
        ({"items": {"pattern": "(" * 200_000}}, "/items/pattern", "at most 1000 characters"),
        ({"pattern": "(" * 500 + ")" * 500}, "", "nested too deeply"),
        ({"patternProperties": {"(" * 200_000: {}}}, "/patternProperties", "use properties"),
        ({"patternProperties": {"a": {}}}, "/patternProperties", "use properties"),
        ({"$defs": {f"d{at}": {} for at in range(30_000)}}, "", "at most 5000 keywords"),
        ({"allOf": [True] * 30_000}, "", "at most 5000 keywords"),
    ],
)
def test_invalid_and_unsupported_schemas_are_refused(
    schema: dict[str, Any], pointer: str, words: str
) -> None:
    flow = build_flow("input>output", node("input", "api_input", schema=schema), OUTPUT)
    assert words in validation_errors(flow)[f"#/nodes/0/config/schema{pointer}"]


def test_reject_requires_properties() -> None:
    flow = build_flow(
        "input>output", node("input", "api_input", additional_inputs="reject"), OUTPUT
    )
    assert "needs a schema" in validation_errors(flow)["#/nodes/0/config/additional_inputs"]
    flow["nodes"][0]["config"]["additional_inputs"] = "maybe"
    assert "ignore, reject" in validation_errors(flow)["#/nodes/0/config/additional_inputs"]


def test_a_pattern_cannot_cause_catastrophic_backtracking() -> None:
    schema = {"properties": {"x": {"pattern": "^(a+)+$"}}}
    assert set(complaints(plan(schema), {"x": "a" * 50_000 + "!"})) == {"#/input_data/x"}


# orjson reads larger integers as floats, and does not write them
_INTEGERS = st.integers(-(2**63), 2**64 - 1)


@given(st.dictionaries(st.text(), st.none() | _INTEGERS | st.text() | st.lists(st.floats())))
def test_accepted_input_conforms_to_the_schema(sent: dict[str, Any]) -> None:
    with suppress(GatewayError):
        accepted = checked_input(plan(FLOWER), sent)
        assert accepted.keys() <= FLOWER["properties"].keys()  # type: ignore[attr-defined]


def test_a_recursive_schema_terminates() -> None:
    assert "nested too deeply" in complaints(plan({"$ref": "#"}), {"x": 1})["#/input_data"]


def doubling(times: int) -> dict[str, Any]:
    """Return a schema that demands 2^times checks of one value."""
    defs: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(times)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{times}": {"type": "object"}}}


@pytest.mark.processes
async def test_validation_time_is_bounded() -> None:
    checked = plan(doubling(40))
    settings = Settings(evaluation_seconds=0.3, evaluators=1)
    processes = build_flow_processes(settings, ChildMetrics(Registry()))
    evaluator, written = processes.evaluator("a tenant"), checked.selection.write({"x": 1})
    with pytest.raises(GatewayError, match=r"more than 0\.3 s of CPU time; send less") as caught:
        await checked.check_input(written, evaluator, monotonic() + TIMEOUT_SECONDS)
    assert caught.value.code == "invalid_input"
    with pytest.raises(GatewayError) as caught:
        await checked.check_input(written, evaluator, monotonic() + 0.1)
    assert caught.value.code == "deadline_exceeded"
    await processes.close()


def test_unique_items_takes_linear_time() -> None:
    checked = plan({"properties": {"x": {"uniqueItems": True}}})
    sent = {"x": [{"a": number} for number in range(50_000)]}
    assert checked_input(checked, sent) == sent
    assert checked_input(checked, {"x": [1, True, "1", None, [1], {"a": 1}]})
    for doubled in ([1, 1.0], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], [[0.5], [0.5]], [None, None]):
        assert set(complaints(checked, {"x": doubled})) == {"#/input_data/x"}
