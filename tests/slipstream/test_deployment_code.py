"""`slipstream deployments code`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.slipstream.cli import Cli
from tests.system.flow_documents import echo_flow


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> tuple[Cli, str]:
    """A state folder to copy, and the id of its deployment of the documentation's flow."""
    cli = Cli.of_template(tmp_path_factory.mktemp("deployed") / "state", sqlite_template)
    return cli, cli.deploy(echo_flow())[1]


@pytest.fixture
def cli(deployed: tuple[Cli, str], new_cli: Cli) -> Cli:
    """Commands on a copy."""
    return deployed[0].copy(new_cli.state)


@pytest.fixture
def deployment(deployed: tuple[Cli, str]) -> str:
    """The id of the deployment."""
    return deployed[1]


def test_the_first_output_is_the_documented_command(cli: Cli, deployment: str) -> None:
    result = cli.run("deployments", "code", deployment)
    assert result.exit_code == 0, result.output
    words = shlex.split(result.stdout)
    url = f"http://127.0.0.1:8080/node/deployment-trigger/{deployment}/"
    assert words[:4] == ["curl", "-X", "POST", url]
    assert json.loads(words[-1]) == {"input_data": {"param1": "value1"}}
    assert "Run: sh call_deployment.sh" in result.stderr
    assert "Replace the masked API key" in result.stderr


def test_code_can_be_written_to_a_file(cli: Cli, deployment: str) -> None:
    for language in ("python", "go", "typescript"):
        words = ("deployments", "code", deployment, "--language", language, "--no-retry")
        (item,) = cli.answer(*words, "--variant", "wait")["items"]
        assert cli.run(*words, "--variant", "wait").stdout == item["code"]


def test_json_has_all_examples_and_the_absent_ones(cli: Cli, deployment: str) -> None:
    document = cli.answer("deployments", "code", deployment, "--key", "environment")
    assert {item["language"] for item in document["absent"]} >= {"curl", "httpie", "grpc_python"}
    assert {item["language"] for item in document["items"]} >= {"curl", "python", "go"}
    assert "sk-" not in json.dumps(document)


def test_the_default_of_an_async_deployment_is_to_poll(cli: Cli, deployment: str) -> None:
    cli.answer("deployments", "set", deployment, "--mode", "async")
    result = cli.run("deployments", "code", deployment, "--language", "python")
    assert "polls for its result" in result.stdout


def test_an_absent_example_is_refused_with_the_reason(cli: Cli, deployment: str) -> None:
    words = ("deployments", "code", deployment, "--language", "httpie", "--variant", "poll")
    result = cli.run(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "language httpie, variant poll: HTTPie sends one request" in result.stderr


def test_choices_that_there_are_not_are_refused(cli: Cli, deployment: str) -> None:
    assert cli.run("deployments", "code", deployment, "--language", "cobol").exit_code == 2
    assert cli.refusal("deployments", "code", deployment, "--version", "7") == (1, "not_found")
    nothing = "00000000-0000-4000-8000-000000000000"
    assert cli.refusal("deployments", "code", nothing) == (1, "not_found")


def test_the_file_of_a_long_input_can_be_written(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    flow = echo_flow()
    flow["nodes"][0]["config"]["test_data"] = {"param1": "long " * 1000}
    file.write_text(json.dumps(flow))
    flow_id = cli.answer("flows", "create", str(file))["id"]
    made = cli.answer("deployments", "create", "--flow", flow_id)["id"]
    result = cli.run("deployments", "code", made)
    assert "-d @input.json" in result.stdout
    assert "jq -r .input_file.content > input.json" in result.stderr
    document = cli.answer("deployments", "code", made)
    content = json.loads(document["input_file"]["content"])
    assert content == {"input_data": {"param1": "long " * 1000}}


def test_a_terminal_shows_code_in_colours(
    cli: Cli, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = cli.run("deployments", "code", deployment, "--language", "python").stdout
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = cli.run("deployments", "code", deployment, "--language", "python").stdout
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
