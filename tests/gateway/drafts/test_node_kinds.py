"""The node kinds: their schemas accept what the readers accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.errors import GatewayError
from gateway.flows.cel.function_docs import ADDED, FUNCTION_DOCS, MACROS
from gateway.flows.cel.library import ADDED_FUNCTIONS
from gateway.flows.config_reader import ConfigReader
from gateway.flows.failure_policy import ON_ERROR_SCHEMA, RETRY_FORM, read_on_error, read_retry
from gateway.flows.node_kinds import node_kinds
from gateway.flows.node_schemas import NODE, node_schemas
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.spec import parse_flow
from gateway.flows.validation import ValidationErrors
from tests.gateway.flows.installed_package import install_nodes
from tests.gateway.flows.test_documentation import EXAMPLES
from tests.gateway.in_process_gateway import InProcessGateway

Json = dict[str, Any]
KINDS = {kind.type: kind for kind in node_kinds()}
DOCS = Path(__file__).parents[3] / "docs"
URL = {"url": "https://example.com"}

VALID: list[tuple[str, Json]] = [
    ("api_input", {"unknown": 1}),
    ("api_input", {"additional_inputs": "ignore", "schema": {"type": "object"}}),
    ("inference", {"model": "iris", "version": 3}),
    ("transform", {"expression": "input.x"}),
    ("branch", {"condition": "input.x > 1"}),
    ("branch", {"cases": [{"name": "a", "when": "true"}]}),
    ("http_request", {**URL, "json": "input", "headers": {"x-a": "{{ input.x }}"}}),
    ("http_request", {**URL, "text": "a", "timeout_seconds": 0.5, "max_bytes": 1}),
    ("wait", {"seconds": 0}),
    ("wait", {"seconds": "input.x"}),
    ("python", {"function": "shout"}),
    ("api_output", {}),
]
INVALID: list[tuple[str, Json]] = [
    ("api_input", {"additional_inputs": "drop"}),
    ("api_input", {"test_data": 1}),
    ("inference", {}),
    ("inference", {"model": " "}),
    ("inference", {"model": "iris", "version": True}),
    ("inference", {"model": "iris", "version": ""}),
    ("inference", {"model": "iris", "inputs": {}}),
    ("inference", {"model": "iris", "inputs": {"x": 1}}),
    ("transform", {}),
    ("transform", {"expression": " "}),
    ("transform", {"expression": "1", "fields": {"x": "1"}}),
    ("transform", {"expression": "1", "code": "x"}),
    ("branch", {}),
    ("branch", {"condition": "true", "default": "a"}),
    ("branch", {"cases": []}),
    ("branch", {"cases": [{"name": "a", "when": "true"}] * 51}),
    ("branch", {"cases": [{"name": "a"}]}),
    ("branch", {"cases": [{"name": "a", "when": "true", "then": 1}]}),
    ("http_request", {}),
    ("http_request", {**URL, "method": "TRACE"}),
    ("http_request", {**URL, "json": "1", "text": "1"}),
    ("http_request", {**URL, "json": 1}),
    ("http_request", {**URL, "headers": {"a b": "1"}}),
    ("http_request", {**URL, "expect": []}),
    ("http_request", {**URL, "expect": ["6xx"]}),
    ("http_request", {**URL, "expect": [99]}),
    ("http_request", {**URL, "timeout_seconds": 0}),
    ("http_request", {**URL, "max_bytes": 1.5}),
    ("wait", {}),
    ("wait", {"seconds": -1}),
    ("wait", {"seconds": 86_401}),
    ("wait", {"seconds": ""}),
    ("python", {"function": ""}),
    ("python", {"function": "a", "args": {}}),
    ("api_output", {"fields": {}}),
]
DOCUMENTED_NODE = {"$ref": NODE, "components": {"schemas": node_schemas()}}
DOCUMENTED = [
    (node["type"], node.get("config", {})) for _, flow, _ in EXAMPLES for node in flow["nodes"]
]


def reads(node_type: str, config: Json) -> bool:
    """Whether the reader reports no error."""
    errors = ValidationErrors()
    HANDLERS[node_type].read(ConfigReader(config, "#", errors))
    return not errors.any


def accepts(schema: object, value: object) -> bool:
    """Whether a value is valid by a schema."""
    return bool(Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize(("node_type", "config"), [*VALID, *DOCUMENTED])
def test_what_is_valid_is_valid_by_its_schema(node_type: str, config: Json) -> None:
    assert reads(node_type, config)
    assert accepts(KINDS[node_type].config_schema, config)


@pytest.mark.parametrize(("node_type", "config"), INVALID)
def test_what_is_invalid_is_invalid_by_its_schema(node_type: str, config: Json) -> None:
    assert not reads(node_type, config)
    assert not accepts(KINDS[node_type].config_schema, config)


@pytest.mark.parametrize(("node_type", "config"), [*VALID, *DOCUMENTED])
def test_a_valid_node_is_valid_by_the_openapi_document(node_type: str, config: Json) -> None:
    node = {"id": "a", "type": node_type, "config": config}
    assert accepts(DOCUMENTED_NODE, {**node, "name": "A", "position": {"x": 1, "y": 2}})
    assert accepts(DOCUMENTED_NODE, {**node, "retry": {"attempts": 2}, "on_error": "continue"})
    assert accepts(DOCUMENTED_NODE, {**node, "retry": None, "on_error": {"fallback": None}})
    for member in HANDLERS[node_type].form.names:
        absent = {**config, member: None}
        if reads(node_type, absent):
            assert accepts(DOCUMENTED_NODE, {**node, "config": absent}), absent
    if reads(node_type, {}):
        assert accepts(DOCUMENTED_NODE, {"id": "a", "type": node_type})


@pytest.mark.parametrize(("node_type", "config"), INVALID)
def test_an_invalid_node_is_invalid_by_the_openapi_document(node_type: str, config: Json) -> None:
    assert not accepts(DOCUMENTED_NODE, {"id": "a", "type": node_type, "config": config})


@pytest.mark.parametrize(
    "node",
    [
        {"id": "a", "type": "unknown", "config": {}},
        {"id": "a", "config": {}},
        {"id": "1", "type": "api_output"},
        {"type": "api_output"},
        {"id": "a", "type": "api_output", "retry": {"attempts": 0}},
        {"id": "a", "type": "api_output", "on_error": "go"},
    ],
)
def test_what_is_no_node_is_invalid_by_the_openapi_document(node: Json) -> None:
    with pytest.raises(GatewayError):
        parse_flow({"nodes": [node], "edges": []})
    assert not accepts(DOCUMENTED_NODE, node)


def test_the_openapi_document_says_which_nodes_flows_have(
    in_process_gateway: InProcessGateway,
) -> None:
    schemas = in_process_gateway.openapi()["components"]["schemas"]
    assert node_schemas().items() <= schemas.items()
    assert set(schemas["FlowNode"]["discriminator"]["mapping"]) == set(HANDLERS)
    for name in ("FlowIn", "FlowOut", "SavedFlowOut", "FlowRevisionOut", "VersionOut"):
        assert schemas[name]["properties"]["nodes"]["items"] == {"$ref": NODE}, name
    draft = schemas["DraftIn"]["properties"]["nodes"]["items"]
    assert "$ref" not in draft, "a draft may have errors"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_new_node_lacks_only_what_a_person_has_to_choose(kind: Any) -> None:
    errors = ValidationErrors()
    HANDLERS[kind.type].read(ConfigReader(kind.defaults, "#", errors))
    chosen = {"inference": ["#/model"], "python": ["#/function"]}
    assert [error.pointer for error in errors.items] == chosen.get(kind.type, [])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_node_kind_is_complete(kind: Any) -> None:
    Draft202012Validator.check_schema(kind.config_schema)
    assert set(kind.order) == set(kind.widgets) == HANDLERS[kind.type].form.names
    page, _, anchor = kind.docs_url.partition("#")
    assert f"### {anchor}" in (DOCS.parent / page).read_text().splitlines()
    assert re.fullmatch("[a-z-]+", kind.icon)


@pytest.mark.parametrize(
    ("retry", "valid"),
    [({}, True), ({"attempts": 10}, True), ({"attempts": 11}, False), ({"times": 1}, False)],
)
def test_the_schema_of_retry(retry: Json, *, valid: bool) -> None:
    errors = ValidationErrors()
    read_retry({"retry": retry}, "#", errors)
    assert errors.any is not valid
    assert accepts(RETRY_FORM.schema(), retry) is valid


@pytest.mark.parametrize(
    ("on_error", "valid"),
    [("fail", True), ("continue", True), ({"fallback": None}, True), ("stop", False), ({}, False)],
)
def test_the_schema_of_on_error(on_error: object, *, valid: bool) -> None:
    errors = ValidationErrors()
    read_on_error({"on_error": on_error}, "#", errors)
    assert errors.any is not valid
    assert accepts(ON_ERROR_SCHEMA, on_error) is valid


def test_every_added_function_is_described() -> None:
    assert {doc.name for doc in ADDED} == set(ADDED_FUNCTIONS)
    names = [doc.name for doc in FUNCTION_DOCS]
    assert len(names) == len(set(names))
    assert "map" in {doc.name for doc in MACROS}


async def test_an_editor_reads_all_at_once(
    in_process_gateway: InProcessGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nodes(tmp_path, monkeypatch)
    user = await in_process_gateway.user()
    answer = (await user.get("/node/node-kinds/")).json()
    kinds = {item["type"]: item for item in answer["items"]}
    assert list(kinds) == list(HANDLERS)
    assert kinds["inference"]["ui"]["widgets"]["model"] == "model"
    assert kinds["api_input"]["ports"] == {"inputs": [], "outputs": ["out"]}
    assert kinds["branch"]["ports"] == {"inputs": ["in"], "outputs": ["case"]}
    assert kinds["http_request"]["defaults"]["method"] == "GET"
    assert {"shout"} <= {node["name"] for node in answer["python"]}
    assert {"sum", "size", "filter"} <= {function["name"] for function in answer["functions"]}
    assert set(answer["policies"]) == {"retry", "on_error"}
