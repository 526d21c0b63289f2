"""The commands about rows and files, on a state folder of their own."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from gateway.fleet.hosts import HostStore
from gateway.fleet.store import FleetStore
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.tables import InferenceServer, Replica
from slipstream.cli import NOUNS
from slipstream.workspace import open_workspace, read_settings
from tests import onnx_models
from tests.slipstream.cli import Cli, invoke

FLOW = Path(__file__).parents[2] / "slipstream" / "demo" / "flow.json"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(onnx_models.mlp(tmp_path / "mlp.onnx"))


def test_a_key_is_printed_once_and_can_be_listed_deactivated_activated_and_deleted(
    cli: Cli,
) -> None:
    made = cli.answer("keys", "create", "--name", "laptop", "--manage")
    assert made["key"].startswith("sk-")
    assert made["scope"] == "manage"
    (listed,) = cli.answer("keys", "list")["items"]
    assert listed["id"] == made["id"]
    assert made["key"] not in json.dumps(listed)
    assert cli.answer("keys", "deactivate", made["id"])["state"] == "deactivated"
    assert cli.answer("keys", "activate", made["id"])["state"] == "active"
    assert cli.answer("keys", "delete", made["id"])["deleted"] is True
    assert cli.answer("keys", "list") == {"items": [], "next_cursor": None}
    assert cli.refusal("keys", "delete", made["id"]) == (1, "not_found")


def test_without_json_the_key_alone_is_on_stdout(cli: Cli) -> None:
    result = cli.run("keys", "create", "--name", "laptop")
    assert result.stdout.startswith("sk-")
    assert len(result.stdout.split()) == 1
    assert "not shown again" in result.stderr


def test_a_key_for_an_unknown_deployment_or_without_a_name_is_refused(cli: Cli) -> None:
    unknown = ("keys", "create", "--name", "x", "--deployment", "nowhere")
    assert cli.refusal(*unknown) == (1, "not_found")
    assert cli.refusal("keys", "create", "--name", "") == (1, "validation_failed")
    assert cli.run("keys", "create").exit_code == 2


def test_several_models_are_added_under_the_names_of_their_files(cli: Cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        onnx_models.mlp(tmp_path / f"{name}.onnx")
    (tmp_path / "three").mkdir()
    onnx_models.mlp(tmp_path / "three" / "model.onnx")
    (tmp_path / "damaged.onnx").write_text("no model")
    names = ("one.onnx", "damaged.onnx", "two.onnx", "three")
    added = cli.run("models", "add", *(str(tmp_path / name) for name in names), "--json")
    assert added.exit_code == 1
    document = json.loads(added.stdout)
    assert [each["name"] for each in document["items"]] == ["one", "two", "three"]
    (refused,) = document["refused"]
    assert (refused["path"], refused["code"]) == (str(tmp_path / "damaged.onnx"), "invalid_model")
    assert "damaged.onnx: " in added.stderr
    again = cli.run("models", "add", str(tmp_path / "one.onnx"), str(tmp_path / "two.onnx"))
    assert again.exit_code == 0
    assert "Model 'two' version 2 is published." in again.stdout
    both = (str(tmp_path / "one.onnx"), str(tmp_path / "two.onnx"))
    assert cli.run("models", "add", *both, "--name", "x").exit_code == 2


def test_a_server_is_said_to_start_only_where_a_host_runs(cli: Cli, model: str) -> None:
    add = ("models", "add", model, "--name", "mlp", "--serve")
    stopped = cli.run(*add).stdout
    assert "`slipstream up` will start the inference server for mlp v1" in stopped
    assert "Starting" not in stopped

    async def claim() -> None:
        async with open_workspace(read_settings(state=cli.state)) as workspace:
            await HostStore(workspace.db).claim(name="h", owner="o", has_ended=lambda _: False)

    asyncio.run(claim())
    assert "Starting the inference server for mlp v2." in cli.run(*add).stdout
    assert "Starting the inference server for mlp v2." in cli.run("models", "serve", "mlp").stdout


def test_a_model_is_given_to_a_user_and_made_private(cli: Cli, model: str) -> None:
    ada = cli.answer("users", "create", "ada@example.com", "--no-password")["id"]
    cli.answer("models", "add", model, "--name", "ours")
    cli.answer("models", "add", model, "--name", "hers", "--private", "--owner", "ada@example.com")
    listed = cli.answer("models", "list")["items"]
    assert {each["name"]: (each["visibility"], each["owner_id"]) for each in listed} == {
        "ours": ("shared", None),
        "hers": ("private", ada),
    }
    table = cli.run("models", "list").stdout
    assert "ada@example.com" in table
    assert "installation" in table
    changed = cli.answer("models", "set", "ours", "--private", "--owner", ada)
    assert (changed["visibility"], changed["owner_id"]) == ("private", ada)
    assert cli.answer("models", "set", "ours", "--no-owner")["owner_id"] is None
    assert cli.answer("models", "set", "hers", "--shared")["visibility"] == "shared"


def test_whose_a_model_is_cannot_be_set_to_nonsense(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "ours")
    unknown = ("--owner", "eve@example.com")
    assert cli.refusal("models", "set", "ours", *unknown) == (1, "not_found")
    assert cli.refusal("models", "add", model, "--name", "new", *unknown) == (1, "not_found")
    assert cli.refusal("models", "set", "nothing", "--private") == (1, "not_found")
    other = ("models", "add", model, "--name", "ours", "--private")
    assert cli.refusal(*other) == (1, "conflict"), "it exists, and is shared"
    assert cli.run("models", "set", "ours").exit_code == 2
    assert cli.run("models", "set", "ours", "--no-owner", "--owner", "x").exit_code == 2


def test_a_model_is_added_served_unserved_and_removed(cli: Cli, model: str) -> None:
    assert cli.answer("models", "list")["items"] == []
    assert cli.answer("models", "add", model, "--name", "mlp", "--serve")["version"] == 1
    assert cli.answer("models", "add", model, "--name", "mlp")["version"] == 2
    (listed,) = cli.answer("models", "list")["items"]
    assert listed["versions"] == [1, 2]
    assert cli.answer("models", "show", "mlp")["inputs"][0]["name"] == "x"
    assert cli.answer("models", "label", "mlp", "stable", "--version", "1")["labels"] == {
        "stable": 1
    }
    assert cli.answer("models", "show", "mlp", "--version", "stable")["version"] == 1
    assert cli.answer("models", "verify", "mlp", "--version", "stable")["intact"] is True
    assert cli.answer("models", "serve", "mlp")["desired"] == "running"
    assert cli.refusal("models", "remove", "mlp", "--version", "2") == (1, "conflict")
    stopped = cli.answer("models", "unserve", "mlp")["items"]
    assert [server["desired"] for server in stopped] == ["stopped", "stopped"]
    assert cli.refusal("models", "unserve", "mlp") == (1, "no_active_inference")
    assert cli.answer("models", "label", "mlp", "stable", "--delete")["labels"] == {}
    assert cli.answer("models", "remove", "mlp", "--version", "2")["removed"] is True
    assert cli.answer("models", "list")["items"][0]["versions"] == [1]


async def _let_sleep(state: Path) -> None:
    db = Database(Settings(state=state).database)
    store = FleetStore(db)
    for server in await store.desired_running():
        await store.mark_asleep(server.lead.id, server.generation)
    await db.close()


def test_a_model_is_served_with_an_idle_timeout_and_a_sleeping_server_can_be_stopped(
    cli: Cli, model: str
) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    serve = ("models", "serve", "mlp")
    assert cli.answer(*serve, "--idle-timeout", "300")["idle_timeout_seconds"] == 300
    assert cli.answer(*serve)["idle_timeout_seconds"] == 300
    assert "sleeps after 300 s without a call" in " ".join(cli.run(*serve).output.split())
    asyncio.run(_let_sleep(cli.state))
    assert "1 asleep" in cli.run("models", "list").stdout
    assert cli.answer("doctor")["healthy"] is True
    assert cli.answer("models", "unserve", "mlp")["items"][0]["desired"] == "stopped"
    assert "1 stopped" in cli.run("models", "list").stdout
    served = cli.answer(*serve, "--idle-timeout", "0")
    assert (served["desired"], served["idle_timeout_seconds"]) == ("running", None)
    assert cli.run(*serve, "--idle-timeout", "-1").exit_code == 2
    assert cli.refusal(*serve, "--idle-timeout", str(10**9)) == (1, "validation_failed")


def test_a_model_is_served_with_a_choice_of_which_calls_share_runs(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    serve = ("models", "serve", "mlp")
    assert cli.answer(*serve)["batching"] == "auto"
    assert cli.answer(*serve, "--batching", "declared")["batching"] == "declared"
    said = " ".join(cli.run(*serve, "--replicas", "2").output.split())
    assert "calls whose keys have the same owner share runs" in said
    assert "its calls run alone" in " ".join(cli.run(*serve, "--batching", "off").output.split())
    assert "--batching off" in cli.run("models", "show", "mlp").stdout
    assert cli.run(*serve, "--batching", "always").exit_code == 2


def test_a_model_is_served_with_a_longest_time_of_its_runs(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    serve = ("models", "serve", "mlp")
    assert cli.answer(*serve)["max_run_seconds"] is None
    assert cli.answer(*serve, "--max-run-seconds", "60")["max_run_seconds"] == 60
    assert "runs end after 60 s" in " ".join(cli.run(*serve).output.split())
    assert cli.answer(*serve, "--max-run-seconds", "0")["max_run_seconds"] is None
    assert cli.refusal(*serve, "--max-run-seconds", "0.01") == (1, "validation_failed")


def test_a_damaged_model_fails_verification_and_doctor_suggests_a_fix(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    (stored,) = cli.state.glob("models/mlp/1/*.onnx")
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1])
    assert cli.refusal("models", "verify", "mlp") == (1, "invalid_model")
    result = cli.run("doctor", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    (bad,) = [finding for finding in document["findings"] if finding["level"] == "wrong"]
    assert bad["subject"] == "model store"
    assert "publish the model again" in bad["mend"]


def test_an_invalid_model_is_refused_and_leaves_nothing_behind(cli: Cli, tmp_path: Path) -> None:
    no_model = tmp_path / "no.onnx"
    no_model.write_bytes(b"not a model")
    refused = ("models", "add", str(no_model), "--name", "no")
    assert cli.refusal(*refused) == (1, "invalid_model")
    assert cli.answer("models", "list")["items"] == []
    assert cli.run("models", "add", str(tmp_path / "missing"), "--name", "x").exit_code == 2


def test_a_flow_is_updated_and_deleted(cli: Cli, tmp_path: Path) -> None:
    flow = cli.answer("flows", "create", str(FLOW))
    file = tmp_path / "flow.json"
    file.write_text(json.dumps({**json.loads(FLOW.read_text()), "name": "Changed"}))
    updated = cli.answer("flows", "update", flow["id"], str(file))
    assert (updated["id"], updated["name"]) == (flow["id"], "Changed")
    assert "redeploy" in cli.run("flows", "update", flow["id"], str(file)).stdout
    assert cli.answer("flows", "delete", flow["id"]) == {"id": flow["id"], "deleted": True}
    assert cli.refusal("flows", "show", flow["id"]) == (1, "not_found")
    assert cli.refusal("flows", "update", flow["id"], str(file)) == (1, "not_found")


def test_a_flow_is_saved_and_each_deployment_has_a_key_of_its_own(cli: Cli) -> None:
    iris = FLOW.with_name("iris.onnx")
    cli.answer("models", "add", str(iris), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    assert cli.answer("flows", "list")["items"][0]["id"] == flow["id"]
    assert cli.answer("flows", "show", flow["id"])["nodes"] == flow["nodes"]
    made = cli.answer("deployments", "create", "--flow", flow["id"], "--mode", "fast")
    assert made["execution_mode"] == "fast"
    assert made["api_key"]["key"].startswith("sk-")
    second = cli.answer("deployments", "create", "--flow", flow["id"], "--name", "Again")
    assert made["api_key"]["deployments"] == [made["id"]]
    assert second["api_key"]["deployments"] == [second["id"]]
    listed = cli.answer("deployments", "list")["items"]
    assert {item["id"] for item in listed} == {made["id"], second["id"]}
    assert cli.answer("deployments", "show", made["id"])["models"] == made["models"]
    assert cli.refusal("deployments", "show", flow["id"]) == (1, "not_found")
    served = cli.run("deployments", "serve", made["id"], "--replicas", "2")
    assert "v1 with 2 replicas" in " ".join(served.stdout.split()), served.output
    shown = cli.run("deployments", "show", made["id"]).stdout.splitlines()
    assert shown[-1] == "Inference server for iris v1: stopped (0 of 2 replicas)"


def test_what_keeps_a_flow_or_a_deployment_from_answering_is_a_warning(cli: Cli) -> None:
    saved = cli.run("flows", "create", str(FLOW))
    assert "Warning: node 'model': there is no model 'iris'" in saved.stderr
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    assert flow["warnings"] == []
    sync = cli.run("deployments", "create", "--flow", flow["id"])
    assert "`slipstream models serve iris --version 1`" in sync.stderr
    fast = cli.run("deployments", "create", "--flow", flow["id"], "--mode", "fast")
    assert "Warning" not in fast.stderr
    cli.answer("models", "unserve", "iris")
    stopped = cli.answer("deployments", "create", "--flow", flow["id"], "--mode", "fast")
    assert [warning["code"] for warning in stopped["warnings"]] == ["model_not_served"]
    assert "was stopped" in cli.run("deployments", "show", stopped["id"]).stderr


def test_a_dry_run_makes_nothing_and_a_key_is_made_as_chosen(cli: Cli) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    create = ("deployments", "create", "--flow", flow["id"])
    plan = cli.answer(*create, "--mode", "fast", "--start-server", "--dry-run")
    assert (plan["deployable"], plan["creates_key"]) == (True, True)
    assert cli.answer("deployments", "list")["items"] == []
    assert "nothing was made" in " ".join(cli.run(*create, "--dry-run").stdout.split())
    assert cli.answer(*create, "--no-key")["api_key"] is None
    made = cli.answer(*create, "--start-server")
    assert made["api_key"]["deployments"] == [made["id"]]
    assert made["readiness"]["state"] == "booting"


def test_a_new_deployment_prints_a_curl_line_that_calls_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    document = json.loads(FLOW.read_text())
    flow = cli.answer("flows", "create", str(FLOW))["id"]
    create = ("deployments", "create", "--flow", flow, "--mode", "fast")

    made, words = made_and_called(cli.run(*create).stdout)
    (test_data,) = (
        node["config"]["test_data"] for node in document["nodes"] if node["type"] == "api_input"
    )
    assert words[:5] == ["curl", "-sS", "-X", "POST", f"http://127.0.0.1:8080{made['path']}"]
    assert f"X-API-Key: {made['key']}" in words
    assert json.loads(words[-1]) == {"input_data": test_data}

    monkeypatch.setenv("SLIPSTREAM_PUBLIC_BASE_URL", "https://api.example.com")
    made, words = made_and_called(cli.run(*create).stdout)
    assert words[4] == f"https://api.example.com{made['path']}"
    silent = cli.run(*create, "--no-key").stdout
    assert "curl" not in silent
    assert "sk-" not in silent


@pytest.mark.parametrize(("rows", "body"), [(1, None), (2000, "@input.json")])
def test_a_curl_line_has_a_derived_example_or_names_the_file_of_a_long_one(
    cli: Cli, tmp_path: Path, rows: int, body: str | None
) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    document = json.loads(FLOW.read_text())
    for node in document["nodes"]:
        if node["type"] == "api_input":
            node["config"] = {"test_data": {"x": [[0.5] * 4] * rows}} if body else {}
    (tmp_path / "flow.json").write_text(json.dumps(document))
    flow = cli.answer("flows", "create", str(tmp_path / "flow.json"))["id"]
    shown = cli.run("deployments", "create", "--flow", flow, "--mode", "fast").stdout
    made, words = made_and_called(shown)
    if body is None:
        assert json.loads(words[-1]) == {"input_data": {"x": [[0.5, 0.5, 0.5, 0.5]]}}
        return
    assert words[-1] == body
    code = cli.answer("deployments", "code", made["path"].split("/")[3])  # its slug
    assert f"deployments code {made['id']} --json" in shown
    assert json.loads(code["input_file"]["content"]) == {"input_data": {"x": [[0.5] * 4] * rows}}


def test_a_deployment_is_named_by_its_slug_and_has_a_readable_address(cli: Cli) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))["id"]
    create = ("deployments", "create", "--flow", flow, "--name", "Iris")
    made, words = made_and_called(cli.run(*create).stdout)
    assert made["path"] == "/v1/admin/iris"
    assert words[4].endswith(":8080/v1/admin/iris")
    changed = cli.answer("deployments", "set", made["id"], "--slug", "irises")
    assert changed["named_path"] == "/v1/admin/irises"
    assert cli.answer("deployments", "show", "irises")["id"] == made["id"]
    assert cli.answer(*create, "--slug", "iris")["slug"] == "iris"
    assert cli.refusal(*create, "--slug", "iris") == (1, "conflict")
    assert cli.refusal("deployments", "set", made["id"], "--slug", "I") == (1, "validation_failed")
    listed = cli.answer("deployments", "list")["items"]
    assert {each["named_path"] for each in listed} == {"/v1/admin/iris", "/v1/admin/irises"}


def made_and_called(shown: str) -> tuple[dict[str, str], list[str]]:
    """Return id, path and key of a new deployment, and the words of the curl line."""
    (curl,) = (line for line in shown.splitlines() if line.startswith("curl "))
    ((made, path),) = re.findall(r"^Deployment '.*' (\S+): POST (\S+)$", shown, re.MULTILINE)
    (key,) = re.findall(r"^API key for this deployment, shown only once: (\S+)$", shown, re.M)
    assert "slipstream up" in shown
    return {"id": made, "path": path, "key": key}, shlex.split(curl)


def test_a_deployment_goes_through_its_versions(cli: Cli, tmp_path: Path) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    preset = ("--preset", "background")
    made = cli.answer("deployments", "create", "--flow", flow["id"], *preset)
    assert (made["execution_mode"], made["deployment_type"]) == ("async", "api")
    deployment: str = made["id"]
    again = cli.answer("deployments", "redeploy", deployment, "--description", "the same")
    assert (again["version"], again["newest_version"]) == (2, 2)
    two, one = cli.answer("deployments", "versions", deployment)["items"]
    assert (two["live"], two["description"], two["created_by_key"]) == (True, "the same", None)
    named = cli.answer("deployments", "describe", deployment, "1", "--name", "First")
    assert (named["name"], named["description"]) == ("First", None)
    shown = cli.answer("deployments", "show", deployment, "--version", "1")
    assert (shown["version"], shown["nodes"]) == (1, flow["nodes"])
    assert cli.answer("deployments", "promote", deployment, "1")["version"] == 1
    assert cli.answer("deployments", "diff", deployment, "1", "2")["same"] is True
    assert cli.refusal("deployments", "promote", deployment, "3") == (1, "not_found")
    assert cli.refusal("deployments", "diff", deployment, "one") == (1, "validation_failed")
    assert one["live"] is False


def test_a_deployment_is_changed_paused_resumed_and_deleted(cli: Cli) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    deployment: str = cli.answer("deployments", "create", "--flow", flow["id"])["id"]
    changed = cli.answer("deployments", "set", deployment, "--type", "server", "--timeout", "9")
    assert (changed["deployment_type"], changed["timeout_seconds"]) == ("server", 9)
    assert changed["execution_mode"] == "sync"
    refused = ("deployments", "set", deployment, "--timeout", "0")
    assert cli.refusal(*refused) == (1, "validation_failed")
    assert cli.answer("deployments", "pause", deployment)["status"] == "paused"
    assert cli.answer("deployments", "resume", deployment)["status"] == "active"
    assert cli.answer("deployments", "delete", deployment)["deleted"] is True
    assert cli.refusal("deployments", "show", deployment) == (1, "gone")
    assert cli.answer("deployments", "list")["items"] == []


def test_the_text_output_shows_what_a_redeploy_would_change(cli: Cli, tmp_path: Path) -> None:
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    flow = cli.answer("flows", "create", str(FLOW))
    deployment: str = cli.answer("deployments", "create", "--flow", flow["id"])["id"]
    assert "do the same" in cli.run("deployments", "diff", deployment).stdout
    cli.answer("models", "add", str(FLOW.with_name("iris.onnx")), "--name", "iris")
    shown = cli.run("deployments", "diff", deployment).stdout
    assert "version 1 → draft" in shown
    assert "~ model of model: iris 1 → iris 2" in shown
    pushed = cli.run("deployments", "redeploy", deployment).stdout
    assert "version 2 is live and runs iris 2" in pushed
    listed = cli.run("deployments", "versions", deployment).stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["2", "live"], ["1", "-"]]
    assert "iris 2" in cli.run("deployments", "show", deployment, "--version", "2").stdout


def test_presets_are_listed_without_a_state_folder() -> None:
    words = ["deployments", "presets"]
    assert "fire-and-forget" in invoke(words).stdout
    result = invoke([*words, "--json"])
    assert len(json.loads(result.stdout)["items"]) == 5


def test_an_invalid_flow_is_refused(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text("{")
    assert cli.refusal("flows", "create", str(file)) == (1, "invalid_json")
    file.write_text("[]")
    assert cli.refusal("flows", "create", str(file)) == (1, "validation_failed")
    file.write_text('{"name": "x", "nodes": [], "edges": [{"source": "a", "target": "b"}]}')
    assert cli.refusal("flows", "create", str(file)) == (1, "invalid_flow")


def test_without_json_lists_are_tables(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp", "--serve")
    cli.answer("keys", "create", "--name", "laptop")
    assert "1 stopped" in cli.run("models", "list").stdout
    assert "[any, 4]" in cli.run("models", "show", "mlp").stdout
    assert "laptop" in cli.run("keys", "list").stdout
    assert "no flows" in cli.run("flows", "list").stdout
    assert "no deployments" in cli.run("deployments", "list").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("keys", "list", "--nope"), "No such option: --nope"),
        (("keys", "nope"), "No such command 'nope'"),
        (("keys", "create"), "Missing option '--name'"),
        (("runs", "list", "--limit", "x"), "Invalid value for '--limit'"),
    ],
)
def test_an_invalid_command_line_is_one_json_document_too(
    new_cli: Cli, words: tuple[str, ...], expected: str
) -> None:
    result = new_cli.run(*words, "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "usage"
    assert expected in error["message"]
    assert expected in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("deployments", "list"),
        ("models", "list"),
        ("runs", "show", "12345678"),
        ("keys", "delete", "12345678"),
        ("usage",),
        ("backup", "copy"),
        ("reload",),
    ],
)
def test_a_command_without_an_installation_says_where_it_looked_and_makes_none(
    new_cli: Cli, words: tuple[str, ...]
) -> None:
    result = new_cli.run(*words, "--json")
    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "unusable"
    assert f"{new_cli.state} does not exist. Start one with `slipstream up`" in error["message"]
    assert not new_cli.state.exists()


def test_a_flow_is_checked_without_an_installation(new_cli: Cli) -> None:
    assert new_cli.answer("flows", "validate", str(FLOW))["valid"] is True
    assert new_cli.answer("flows", "kinds")["items"]
    assert not new_cli.state.exists()


def test_doctor_reports_a_fresh_folder_as_healthy_and_creates_nothing(new_cli: Cli) -> None:
    assert new_cli.answer("doctor")["healthy"] is True
    assert not new_cli.state.exists()


def test_doctor_warns_of_anonymous_access(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_ANONYMOUS_V2", "1")
    findings = cli.answer("doctor")["findings"]
    assert ("anonymous access", "warning") in {
        (finding["subject"], finding["level"]) for finding in findings
    }


def test_doctor_names_servers_that_others_can_call_and_not_read(cli: Cli) -> None:
    async def write() -> None:
        db = Database(f"sqlite:///{cli.state}/slipstream.db")
        async with db.write() as session:
            for model, metrics in (("iris", "127.0.0.1:1"), ("mlp", "https://10.0.0.5:1")):
                server = InferenceServer(model=model, version=1, desired="running")
                tcp = "grpcs://10.0.0.5:2"
                session.add(server)
                server.replicas = [Replica(slot=0, tcp_address=tcp, metrics_address=metrics)]
        await db.close()

    asyncio.run(write())
    findings = cli.answer("doctor")["findings"]
    (found,) = [each for each in findings if each["subject"] == "metrics"]
    assert found["level"] == "warning"
    assert "reaches: iris 1" in found["message"]


def test_a_corrupt_database_is_one_line_and_doctor_says_so(new_cli: Cli) -> None:
    new_cli.state.mkdir()
    (new_cli.state / "slipstream.db").write_bytes(b"no database, whatever it may be " * 100)
    assert new_cli.refusal("keys", "list") == (3, "unusable")
    result = new_cli.run("doctor", "--json")
    assert result.exit_code == 1
    subjects = [
        finding["subject"]
        for finding in json.loads(result.stdout)["findings"]
        if finding["level"] == "wrong"
    ]
    assert subjects == ["database"]


def test_an_invalid_setting_is_reported_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_MAX_BODY_BYTES", "much")
    result = cli.run("keys", "list")
    assert result.exit_code == 3
    assert "SLIPSTREAM_MAX_BODY_BYTES" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "noun", ["", *("models", "flows", "deployments", "runs", "keys", "bench", "doctor")]
)
def test_every_noun_has_help(noun: str) -> None:
    words = [noun, "--help"] if noun else ["--help"]
    result = invoke(words)
    assert result.exit_code == 0
    if not noun:
        assert all(name in result.stdout for name in NOUNS)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_printed_with_that_of_python(option: str) -> None:
    result = invoke([option])
    assert result.exit_code == 0
    expected = f"slipstream {version('slipstream')} (Python {platform.python_version()})"
    assert result.stdout.strip() == expected


def test_a_model_scales_in_a_range_on_hosts_with_labels(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    serve = ("models", "serve", "mlp")
    labels = ("--on", "accelerator=gpu", "--on", "zone=b")
    served = cli.run(*serve, "--replicas", "2..8", "--target-queue", "4", *labels)
    assert served.exit_code == 0, served.output
    assert "with 2 to 8 replicas on hosts with accelerator=gpu,zone=b" in " ".join(
        served.stdout.split()
    )
    shown = cli.answer(*serve)
    assert (shown["replicas"], shown["replica_range"]) == (2, {"min": 2, "max": 8})
    assert shown["target_queue"] == 4.0
    assert shown["host_labels"] == {"accelerator": "gpu", "zone": "b"}
    fixed = cli.answer(*serve, "--replicas", "1", "--on", "")
    assert (fixed["replicas"], fixed["replica_range"], fixed["host_labels"]) == (1, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--replicas", "many"),
        ("--replicas", "1.."),
        ("--replicas", "..3"),
        ("--on", "gpu"),
        ("--on", "a=b c"),
    ],
)
def test_what_is_no_range_and_no_label_is_refused(cli: Cli, wrong: tuple[str, str]) -> None:
    refused = cli.run("models", "serve", "mlp", *wrong)
    assert refused.exit_code == 2
    assert f"{wrong[0]}: expected" in " ".join(refused.output.split())


def test_a_range_that_is_too_large_is_refused(cli: Cli, model: str) -> None:
    cli.answer("models", "add", model, "--name", "mlp")
    refused = cli.run("models", "serve", "mlp", "--replicas", "1..99")
    assert refused.exit_code != 0
    assert "replica_range.max: expected" in refused.output


def test_the_tables_are_made_and_migrated_by_a_command(new_cli: Cli) -> None:
    made = new_cli.answer("migrate")
    assert made["before"] is None
    again = new_cli.run("migrate")
    assert f"The tables are up to date, at revision {made['after']}." in " ".join(
        again.stdout.split()
    )
    assert new_cli.answer("migrate") == {"before": made["after"], "after": made["after"]}
