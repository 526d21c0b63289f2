"""Exported files, read and executed by the programs that they are for."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate

from tests.services import npm
from tests.system.example_code.examples import SECONDS, Examples

MODES = ("sync", "async", "fast")
COVERING = {("sync", "flat"), ("async", "envelope"), ("fast", "flat")}
"""Modes and formats of answers of which each collection is run; `make test-long` runs all."""


@pytest.fixture(scope="module")
def newman(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that runs collections, as its lock file pins it."""
    folder = tmp_path_factory.mktemp("newman") / "newman"
    npm.install(Path(__file__).parent / "newman", folder)
    return folder / "node_modules" / ".bin" / "newman"


def exported(examples: Examples, deployment: str, form: str) -> str:
    """Return an exported file."""
    answer = examples.http.get(f"/node/deployments/{deployment}/export/", params={"format": form})
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.services
@pytest.mark.parametrize(
    ("mode", "response_format"),
    [
        pytest.param(*each, marks=() if each in COVERING else pytest.mark.long)
        for each in itertools.product(MODES, ["flat", "envelope"])
    ],
)
def test_a_collection_passes_with_the_environments_key_filled_in(
    examples: Examples, newman: Path, mode: str, response_format: str
) -> None:
    deployment = examples.deploy(
        mode, response_format=response_format, require_idempotency_key=True
    )
    for form in ("postman", "postman-environment"):
        (examples.folder / f"{form}.json").write_text(exported(examples, deployment, form))
    command = [str(newman), "run", "postman.json", "--environment", "postman-environment.json"]
    report = examples.folder / "report.json"
    ran = subprocess.run(
        [
            *command,
            *("--env-var", f"SLIPSTREAM_API_KEY={examples.installation.key}"),
            *("--reporters", "cli,json", "--reporter-json-export", str(report)),
        ],
        cwd=examples.folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    stats = json.loads(report.read_text())["run"]["stats"]
    assert stats["assertions"]["total"] == stats["requests"]["total"] > 1
    assert stats["assertions"]["failed"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_openapi_document_is_valid_and_its_server_answers(examples: Examples, mode: str) -> None:
    document = json.loads(exported(examples, examples.deploy(mode), "openapi"))
    validate(document)
    ((path, item),) = document["paths"].items()
    operation = item["post"]
    answer = httpx.post(
        document["servers"][0]["url"] + path,
        json=operation["requestBody"]["content"]["application/json"]["example"],
        headers={"X-API-Key": examples.installation.key},
        timeout=SECONDS,
    )
    assert str(answer.status_code) in operation["responses"]
    assert answer.is_success


def test_the_command_writes_the_same_file(examples: Examples) -> None:
    deployment = examples.deploy()
    file = examples.folder / "iris.http"
    written = examples.installation.command(
        "deployments", "export", deployment, "--format", "http", "--output", str(file)
    )
    assert written["file"] == str(file)
    assert "POST {{base_url}}/node/deployment-trigger/" in file.read_text()
