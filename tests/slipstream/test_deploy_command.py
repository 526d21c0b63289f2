"""`slipstream deploy`: a model or a flow becomes an endpoint, and then its next version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import onnx_models
from tests.slipstream.cli import Cli
from tests.system.flow_documents import transform_flow

pytestmark = pytest.mark.processes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return onnx_models.mlp(tmp_path / "churn.onnx")


def test_a_model_becomes_an_endpoint_and_then_its_next_version(cli: Cli, model: Path) -> None:
    made = cli.answer("deploy", str(model))
    assert (made["name"], made["version"], made["execution_mode"]) == ("churn", 1, "fast")
    assert made["api_key"]["key"].startswith("sk-")
    assert [(one["model"], one["version"]) for one in made["models"]] == [("churn", 1)]

    same = cli.run("deploy", str(model))
    assert "Model 'churn' version 1 has the same files." in same.stderr
    assert "version 1 is live, and nothing has changed" in same.stdout

    onnx_models.optional_input(model)
    changed = cli.run("deploy", str(model))
    assert "churn 1 → churn 2" in changed.stdout
    assert "Deployment 'churn': version 2 is live" in changed.stdout
    assert cli.answer("deployments", "show", "churn")["id"] == made["id"]
    assert cli.answer("deployments", "promote", "churn", "1")["version"] == 1

    cli.answer("deployments", "delete", "churn")
    assert cli.refusal("deployments", "show", "churn") == (1, "not_found")
    again = cli.answer("deploy", "churn")
    assert again["id"] != made["id"]
    assert [one["version"] for one in again["models"]] == [2]


def test_calls_and_the_next_commands_are_printed(cli: Cli, model: Path) -> None:
    printed = cli.run("deploy", str(model), "--name", "mine").stdout
    for part in ("curl -sS", "import requests", "await fetch(", "deployments delete mine"):
        assert part in printed
    assert f"slipstream deploy {model} --name mine" in printed


def test_names_of_columns_and_classes_are_kept_until_others_are_given(
    cli: Cli, model: Path
) -> None:
    def names() -> tuple[object, object]:
        shown = cli.answer("models", "show", "churn")
        return shown["version"], shown["names"]["columns"]

    words = ("deploy", str(model), "--classes", "low,middle,high", "--columns")
    printed = cli.run(*words, "a,b,c,d").stdout
    assert '{"input_data": {"x": [{"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}]}}' in printed
    assert "columns a, b, c, d" in cli.run("models", "show", "churn").stdout
    assert "nothing has changed" in cli.run("deploy", str(model)).stdout
    cli.answer(*words, "e,f,g,h")
    assert names() == (2, ["e", "f", "g", "h"])
    onnx_models.identity(model, shape=("N", 2))
    refused = cli.run("deploy", str(model))
    assert refused.exit_code == 1
    assert "columns: expected one input with 4 columns, got 'x' FP32 [-1, 2]" in refused.stderr
    assert "give others, or '' for none" in refused.stderr
    cli.answer("deploy", str(model), "--columns", "", "--classes", "")
    assert names() == (3, [])
    for source in ("churn", str(model.with_suffix(".json"))):
        refused = cli.run("deploy", source, "--columns", "a,b")
        assert "--columns and --classes: expected the file or folder of a model" in refused.stderr


def test_what_a_deleted_deployment_leaves_is_named_with_the_command_that_deletes_it(
    cli: Cli, model: Path
) -> None:
    made = cli.answer("deploy", str(model))
    cli.answer("deployments", "create", "--flow", made["flow_id"], "--name", "other")
    kept = cli.run("deployments", "delete", "churn").stdout
    assert f"slipstream keys delete {made['api_key']['id']}" in kept
    assert "flows delete" not in kept
    last = cli.run("deployments", "delete", "other").stdout
    assert "Its flow stays:          slipstream flows delete churn" in last
    assert "slipstream models remove churn --all" in cli.run("flows", "delete", "churn").stdout
    cli.answer("models", "unserve", "churn")
    cli.answer("models", "add", str(model), "--name", "churn")
    refused = cli.run("models", "remove", "churn")
    assert refused.exit_code == 2
    assert "give either --version or --all" in refused.stderr
    removed = cli.answer("models", "remove", "churn", "--all")["items"]
    assert [one["version"] for one in removed] == [1, 2]
    assert cli.answer("models", "list")["items"] == []


def test_a_flow_is_deployed_in_the_mode_that_it_can_have(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    flow = transform_flow()
    file.write_text(json.dumps(flow))
    made = cli.answer("deploy", str(file))
    assert (made["name"], made["execution_mode"]) == (flow["name"], "sync")
    flow["nodes"][1]["config"] = {"expression": "{'z': 1}"}
    file.write_text(json.dumps(flow))
    assert cli.answer("deploy", str(file))["version"] == 2
    assert len(cli.answer("flows", "list")["items"]) == 1


def test_an_interrupted_command_is_completed(cli: Cli, model: Path) -> None:
    cli.answer("models", "add", str(model))
    starter = cli.run("models", "starter", "churn").stdout
    file = model.with_suffix(".json")
    file.write_text(starter)
    flow = cli.answer("flows", "create", str(file))
    assert cli.answer("deploy", str(model))["flow_id"] == flow["id"]
    assert cli.answer("models", "show", "churn")["version"] == 1


def test_a_flow_that_a_user_has_changed_stays(cli: Cli, model: Path, tmp_path: Path) -> None:
    flow_id = cli.answer("deploy", str(model))["flow_id"]
    flow = json.loads(cli.run("models", "starter", "churn").stdout)
    flow["nodes"][2]["config"] = {"output": {"only": "model.y"}}
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(flow))
    cli.answer("flows", "update", flow_id, str(file))
    onnx_models.mlp(model)
    assert cli.answer("deploy", str(model))["version"] == 2
    assert cli.answer("flows", "show", flow_id)["nodes"][2]["config"] == flow["nodes"][2]["config"]


def test_an_example_is_that_of_the_next_versions_as_long_as_it_fits(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    example = tmp_path / "rows.json"
    example.write_text('{"x": [[1, 2, 3, 4], [5, 6, 7, 8]]}')
    deployment_id = cli.answer("deploy", str(model), "--example", str(example))["id"]
    printed = cli.run("deployments", "code", "churn").stdout
    assert "[5, 6, 7, 8]" in printed or "[5,6,7,8]" in printed

    def example_of(version: int) -> object:
        shown = cli.answer("deployments", "versions", deployment_id)["items"]
        assert shown[0]["version"] == version
        (start, *_) = cli.answer("flows", "show", "churn")["nodes"]
        return start["config"]["test_data"]

    assert example_of(1) == json.loads(example.read_text())
    same = cli.run("deploy", str(model))
    assert "nothing has changed" in same.stdout
    example.write_text('{"x": [[9, 9, 9, 9]]}')
    assert cli.answer("deploy", str(model), "--example", str(example))["version"] == 2
    assert example_of(2) == json.loads(example.read_text())
    onnx_models.identity(model, shape=("N", 2))
    assert cli.answer("deploy", str(model))["version"] == 3
    assert example_of(3) != json.loads(example.read_text())


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ('{"x": "four"}', "'four' is not of type 'array' ($.x)"),
        ('{"z": [[1, 2, 3, 4]]}', "'x' is a required property ($)"),
        ("[1]", "--example: expected a JSON object, got list"),
        ("{", "--example is not valid JSON"),
    ],
)
def test_an_example_that_the_model_does_not_take_is_refused(
    cli: Cli, model: Path, tmp_path: Path, example: str, said: str
) -> None:
    file = tmp_path / "rows.json"
    file.write_text(example)
    refused = cli.run("deploy", str(model), "--example", str(file))
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert cli.answer("flows", "list")["items"] == []
    assert cli.answer("deployments", "list")["items"] == []


def test_a_flow_has_an_example_of_its_own(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(transform_flow()))
    refused = cli.run("deploy", str(file), "--example", str(file))
    assert refused.exit_code == 1
    assert "--example: expected a model, got a flow" in refused.stderr


def test_a_refused_source_leaves_nothing(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00.")
    monkeypatch.chdir(tmp_path)
    for words, said in (
        (["absent.onnx"], "'absent.onnx' is neither a file, nor a folder, nor the name of a model"),
        ([model.name, "--canary", "10"], "--canary: expected a deployment 'churn' with a live"),
        (["model.pkl"], "pickle"),
    ):
        refused = cli.run("deploy", *words)
        assert refused.exit_code == 1
        assert said in refused.stderr
        for noun in ("models", "flows", "deployments"):
            assert cli.answer(noun, "list")["items"] == []


def test_names_of_others_are_refused(cli: Cli, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps({**transform_flow(), "name": "churn"}))
    cli.answer("deploy", str(file))
    refused = cli.run("deploy", str(model))
    assert refused.exit_code == 1
    assert "flow 'churn' does not call the model 'churn'" in refused.stderr
    assert cli.answer("models", "list")["items"] == []
    mode = cli.run("deploy", str(file), "--mode", "async")
    assert "--mode: the deployment 'churn' has mode sync, got async" in mode.stderr
