"""`slipstream flows validate`, and `flows run` of flows without models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.slipstream.cli import Cli
from tests.system.flow_documents import division_flow, linear_flow, node

Json = dict[str, Any]


def written(folder: Path, document: object, name: str = "flow.json") -> str:
    path = folder / name
    path.write_text(json.dumps(document))
    return str(path)


def broken_flow() -> Json:
    flow = linear_flow(
        "Broken",
        node("input", "api_input"),
        node("sum", "transform", fields={"y": "input.x +"}),
        node("output", "api_output", fields={"y": "total.y"}),
    )
    flow["edges"].append({"source": "output", "target": "nowhere"})
    return flow


def unfinished_flow() -> Json:
    """Can be saved, but not deployed: its model is unknown, and a node is unconnected."""
    flow = linear_flow(
        "Unfinished", node("input", "api_input"), node("model", "inference", model="nothing")
    )
    flow["nodes"].append(node("alone", "wait", seconds=1))
    return flow


def test_a_valid_flow_is_not_saved(cli: Cli, tmp_path: Path) -> None:
    file = written(tmp_path, division_flow())
    assert cli.answer("flows", "validate", file) == {"valid": True, "warnings": []}
    assert cli.answer("flows", "validate", file, "--deploy")["valid"] is True
    assert "is valid" in cli.run("flows", "validate", file).stdout
    assert cli.answer("flows", "list")["items"] == []


def test_every_error_has_its_pointer_and_is_that_of_the_server(cli: Cli, tmp_path: Path) -> None:
    file = written(tmp_path, broken_flow())
    edges = cli.run("flows", "validate", file, "--json")
    assert edges.exit_code == 1
    (error,) = json.loads(edges.stdout)["error"]["errors"]
    assert error == {"pointer": "#/edges/2/target", "detail": "unknown node 'nowhere'"}
    flow = broken_flow()
    flow["edges"].pop()
    file = written(tmp_path, flow)
    result = cli.run("flows", "validate", file, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["error"]
    assert found["code"] == "invalid_flow"
    pointers = [error["pointer"] for error in found["errors"]]
    assert sorted(pointers) == ["#/nodes/1/config/fields/y", "#/nodes/2/config/fields/y"]
    for error in found["errors"]:
        assert f"  {error['pointer']}: {error['detail']}" in result.stderr.splitlines()
    saved = json.loads(cli.run("flows", "create", file, "--json").stdout)
    assert saved["error"] == found


def test_what_keeps_a_flow_from_being_deployed_is_a_warning_or_with_deploy_an_error(
    cli: Cli, tmp_path: Path
) -> None:
    file = written(tmp_path, unfinished_flow())
    result = cli.run("flows", "validate", file)
    assert result.exit_code == 0
    assert "Warning: #/nodes/1/config/model: node 'model'" in result.stderr
    (warning,) = cli.answer("flows", "validate", file)["warnings"]
    assert (warning["code"], warning["pointer"]) == ("unknown_model", "#/nodes/1/config/model")
    refused = cli.run("flows", "validate", file, "--deploy", "--json")
    assert refused.exit_code == 1
    (error,) = json.loads(refused.stdout)["error"]["errors"]
    assert error["pointer"] == "#/nodes/2"
    connected = linear_flow("Unknown", *unfinished_flow()["nodes"])
    refused = cli.run("flows", "validate", written(tmp_path, connected), "--deploy", "--json")
    (error,) = json.loads(refused.stdout)["error"]["errors"]
    assert error["pointer"] == "#/nodes/1/config/model"
    assert "slipstream models add" in error["detail"]


def test_a_draft_runs_and_each_node_has_its_output(cli: Cli, tmp_path: Path) -> None:
    file = written(tmp_path, division_flow())
    answer = cli.answer("flows", "run", file, "--input", '{"x": 4}')
    assert (answer["status"], answer["output_data"], answer["error"]) == (
        "completed",
        {"y": 2},
        None,
    )
    outputs = {node_id: node.get("output") for node_id, node in answer["node_outputs"].items()}
    assert outputs == {"input": None, "compute": {"y": 2}, "output": None}
    given = written(tmp_path, {"x": 5}, "input.json")
    shown = cli.run("flows", "run", file, "--input", f"@{given}")
    assert shown.exit_code == 0
    assert '{"y":2}' in shown.stdout
    saved = cli.answer("flows", "create", file)["id"]
    assert cli.answer("flows", "run", saved, "--input", '{"x": 1}')["output_data"] == {"y": 10}
    assert cli.answer("runs", "list")["items"] == []


def test_the_test_data_is_the_default_input(cli: Cli, tmp_path: Path) -> None:
    flow = division_flow()
    flow["nodes"][0]["config"]["test_data"] = {"x": 2}
    assert cli.answer("flows", "run", written(tmp_path, flow))["output_data"] == {"y": 5}


def test_a_failed_node_is_shown_with_its_error_and_the_exit_status_is_1(
    cli: Cli, tmp_path: Path
) -> None:
    file = written(tmp_path, division_flow())
    failed = cli.run("flows", "run", file, "--input", '{"x": "no number"}', "--json")
    assert failed.exit_code == 1
    document = json.loads(failed.stdout)
    assert document["status"] == "failed"
    assert document["error"]["node_id"] == "compute"
    assert document["node_outputs"]["output"]["status"] == "skipped"
    shown = cli.run("flows", "run", file, "--input", '{"x": "no number"}')
    assert "(node 'compute')" in shown.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--input", "no json"), "invalid_json"),
        (("--input", "[1]"), "validation_failed"),
    ],
)
def test_invalid_input_is_refused(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    file = written(tmp_path, division_flow())
    assert cli.refusal("flows", "run", file, *words) == (1, code)


def test_a_schema_applies_and_an_invalid_flow_does_not_run(cli: Cli, tmp_path: Path) -> None:
    flow = division_flow()
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    flow["nodes"][0]["config"]["schema"] = schema
    file = written(tmp_path, flow)
    assert cli.refusal("flows", "run", file, "--input", "{}") == (1, "invalid_input")
    assert cli.refusal("flows", "run", written(tmp_path, broken_flow())) == (1, "invalid_flow")
    assert cli.refusal("flows", "run", written(tmp_path, unfinished_flow())) == (1, "invalid_flow")
    unknown = "0b0f2a6e-6b1f-4c57-9a2f-0f2d3c4b5a69"
    assert cli.refusal("flows", "run", unknown) == (1, "not_found")
    assert cli.run("flows", "run", str(tmp_path / "missing.json")).exit_code == 2


def test_a_check_lists_errors_and_warnings_together(cli: Cli, tmp_path: Path) -> None:
    broken = broken_flow()
    broken["nodes"].append(node("alone", "wait", seconds=1))
    result = cli.run("flows", "check", written(tmp_path, broken), "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert {(one["severity"], one["pointer"]) for one in answer["problems"]} == {
        ("error", "#/nodes/1/config/fields/y"),
        ("error", "#/nodes/2/config/fields/y"),
        ("error", "#/edges/2/target"),
        ("warning", "#/nodes/3"),
    }
    shown = cli.run("flows", "check", written(tmp_path, unfinished_flow()))
    assert shown.exit_code == 0
    assert "unknown_model" in shown.stdout
    assert "cannot be deployed as fast" in shown.stdout


def test_flows_are_found_and_an_earlier_revision_is_restored(cli: Cli, tmp_path: Path) -> None:
    first = cli.answer("flows", "create", written(tmp_path, division_flow()))["id"]
    flow = cli.answer("flows", "create", written(tmp_path, division_flow() | {"name": "Iris"}))[
        "id"
    ]
    assert [one["id"] for one in cli.answer("flows", "list", "--name", "iRI")["items"]] == [flow]
    by_name = cli.answer("flows", "list", "--sort", "name")["items"]
    assert [one["id"] for one in by_name] == [first, flow]

    (revision,) = cli.answer("flows", "revisions", flow)["items"]
    assert (revision["number"], revision["flow_name"]) == (1, "Iris")
    printed = cli.run("flows", "revision", flow, "1").stdout
    back = written(tmp_path, json.loads(printed), "back.json")
    assert cli.answer("flows", "update", flow, back)["nodes"] == division_flow()["nodes"]
    whole = cli.answer("flows", "revision", flow, "1")
    assert (whole["edges"], whole["number"]) == (division_flow()["edges"], 1)
    assert cli.refusal("flows", "revision", flow, "9") == (1, "not_found")


def test_types_of_nodes_are_listed_with_their_schemas(cli: Cli) -> None:
    listed = cli.answer("flows", "kinds")
    assert {"api_input", "inference", "api_output"} <= {one["type"] for one in listed["items"]}
    schema = json.loads(cli.run("flows", "kinds", "wait").stdout)
    assert "seconds" in schema["properties"]
    assert cli.answer("flows", "kinds", "wait")["config_schema"] == schema
    assert cli.refusal("flows", "kinds", "nothing") == (1, "validation_failed")


def test_an_expression_is_evaluated_with_given_values(cli: Cli) -> None:
    values = ("--values", '{"input": {"x": 21}}')
    assert cli.run("flows", "evaluate", "input.x * 2", *values).stdout == "42\n"
    answer = cli.answer("flows", "evaluate", "x is {{ input.x }}", "--template", *values)
    assert (answer["ok"], answer["value"]) == (True, "x is 21")
    failed = cli.run("flows", "evaluate", "input.x / 0", *values)
    assert (failed.exit_code, "division by zero" in failed.stdout) == (1, True)
