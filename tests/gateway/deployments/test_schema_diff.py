"""Which input schema changes break callers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.deployments.schema_diff import accepted_schema, diff_schemas

# Any, throughout: JSON Schemas
Json = dict[str, Any]


def prop(before: object, after: object) -> tuple[Json, Json]:
    """Return two schemas that differ in the property `x`."""
    return {"properties": {"x": before}}, {"properties": {"x": after}}


def found(before: Json | None, after: Json | None) -> list[tuple[str, bool]]:
    """Return pointer and `breaking` of each change."""
    return [(change.pointer, change.breaking) for change in diff_schemas(before, after)]


HARMLESS: list[tuple[Json | None, Json | None]] = [
    ({"required": ["x", "y"]}, {"required": ["x"]}),
    ({"required": ["x"]}, {}),
    ({}, {"properties": {"x": {"type": "number"}}}),
    ({"properties": {"x": {"type": "number"}}}, {}),
    ({"properties": {"x": {"type": "number"}}}, None),
    ({"additionalProperties": False}, {"additionalProperties": True}),
    ({"additionalProperties": False}, {}),
    ({"additionalProperties": False}, {"additionalProperties": {"type": "number"}}),
    ({"title": "One"}, {"title": "Two"}),
    prop({"type": "integer"}, {"type": "number"}),
    prop({"type": "integer"}, {"type": ["integer", "null"]}),
    prop({"type": "number"}, {}),
    prop({"minimum": 1}, {"minimum": 0}),
    prop({"minimum": 1}, {}),
    prop({"maxItems": 1}, {"maxItems": 2}),
    prop({"enum": ["a"]}, {"enum": ["b", "a"]}),
    prop({"enum": ["a"]}, {}),
    prop({"pattern": "^a$"}, {}),
    prop({"default": 1}, {"default": 2}),
    prop({"items": {"type": "integer"}}, {"items": {"type": "number"}}),
]

BREAKING: list[tuple[Json | None, Json | None]] = [
    (None, {"required": ["x"]}),
    ({}, {"required": ["x"]}),
    ({"required": ["x"]}, {"required": ["x", "y"]}),
    ({"properties": {"x": {}}}, {"additionalProperties": False}),
    ({}, {"additionalProperties": False}),
    ({"additionalProperties": True}, {"additionalProperties": {"type": "number"}}),
    ({"type": "object"}, {"type": "array"}),
    ({}, {"properties": {"x": {"type": "number"}}, "required": ["x"]}),
    prop({"type": "number"}, {"type": "integer"}),
    prop({"type": ["number", "null"]}, {"type": "number"}),
    prop({}, {"type": "number"}),
    prop({"minimum": 0}, {"minimum": 1}),
    prop({}, {"minLength": 1}),
    prop({"maximum": 2}, {"maximum": 1}),
    prop({}, {"maxLength": 9}),
    prop({"enum": ["a", "b"]}, {"enum": ["a"]}),
    prop({"enum": [1]}, {"enum": [True]}),
    prop({}, {"enum": ["a"]}),
    prop({"pattern": "^a"}, {"pattern": "^b"}),
    prop({}, {"format": "email"}),
    prop({"items": {"type": "number"}}, {"items": {"type": "integer"}}),
    prop({"properties": {"y": {"type": "string"}}}, {"properties": {"y": {"type": "null"}}}),
    prop({"anyOf": [{"type": "number"}]}, {"anyOf": [{"type": "string"}]}),
    prop(True, {"type": "number"}),
]


@pytest.mark.parametrize(("before", "after"), HARMLESS)
def test_relaxing_changes_are_not_breaking(before: Json | None, after: Json | None) -> None:
    changes = found(before, after)
    assert changes
    assert not any(breaking for _, breaking in changes), changes


@pytest.mark.parametrize(("before", "after"), BREAKING)
def test_restricting_changes_are_breaking(before: Json | None, after: Json | None) -> None:
    changes = found(before, after)
    assert any(breaking for _, breaking in changes), changes


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, None), ({}, None), (None, {"type": "object"}), ({"title": "x"}, {"title": "x"})],
)
def test_equivalent_schemas_have_no_changes(before: Json | None, after: Json | None) -> None:
    assert found(before, after) == []


def test_a_change_has_the_pointer_of_its_keyword() -> None:
    before = {"properties": {"a/b": {"properties": {"~": {"items": {"type": "number"}}}}}}
    after = {"properties": {"a/b": {"properties": {"~": {"items": {"type": "string"}}}}}}
    (change,) = diff_schemas(before, after)
    assert change.pointer == "/properties/a~1b/properties/~0/items/type"
    assert (change.before, change.after) == ("number", "string")
    assert change.reason == "no longer accepted: number"


@pytest.mark.parametrize(
    "strange",
    [
        {"required": 5},
        {"required": [[]]},
        {"type": 7},
        {"type": [[]]},
        {"enum": 3},
        {"minimum": "low"},
        {"maximum": {}},
        {"properties": []},
        {"properties": {"x": 3}},
        {"items": 1},
    ],
)
def test_malformed_schemas_are_compared(strange: Json) -> None:
    sound = {
        "required": ["x"],
        "type": ["object"],
        "enum": [1],
        "minimum": 0,
        "maximum": 1,
        "properties": {"x": {}},
        "items": {},
    }
    assert found(sound, sound | strange)
    assert found(sound | strange, sound)
    found(None, strange)


def flow(schema: Json | None, **config: str) -> Json:
    """Return a graph with this input schema."""
    return {"nodes": [{"id": "input", "type": "api_input", "config": {"schema": schema, **config}}]}


def test_additional_inputs_are_part_of_the_effective_schema() -> None:
    named: Json = {"properties": {"x": {}}}
    closed = {**named, "additionalProperties": False}
    typed = {**named, "additionalProperties": {"type": "number"}}
    assert accepted_schema(flow(None)) is None
    assert accepted_schema({"nodes": []}) is None
    for schema in (named, closed):
        assert accepted_schema(flow(schema)) == named
        assert accepted_schema(flow(schema, additional_inputs="ignore")) == named
        assert accepted_schema(flow(schema, additional_inputs="reject")) == closed
    assert accepted_schema(flow(typed)) == typed
    before = accepted_schema(flow(named))
    assert found(before, accepted_schema(flow(named, additional_inputs="reject"))) == [
        ("/additionalProperties", True)
    ]
