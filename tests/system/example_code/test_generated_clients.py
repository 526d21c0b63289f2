"""Clients that generators make of the OpenAPI document: complete, and able to call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import onnx_models
from tests.system.example_code.examples import SECONDS, Examples, printed
from tests.system.example_code.typescript import compile_types, node_command

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PYTHON = """
import sys, time
from pathlib import Path
from slipstream_client import AuthenticatedClient
from slipstream_client.api.flow_runs import get_flow_run
from slipstream_client.api.models import create_model
from slipstream_client.api.trigger import trigger_deployment
from slipstream_client.models import AcceptedOut, RunOut, TriggerIn
from slipstream_client.types import File

url, key, deployment, model = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, prefix="", auth_header_name="X-API-Key")
published = create_model.sync(
    client=client, body=File(payload=Path(model).read_bytes()), name="generated"
)
print("published", published.name, published.version)
body = TriggerIn.from_dict({"input_data": {"param1": "value1"}})
accepted = trigger_deployment.sync(deployment, client=client, body=body, response_format="flat")
assert isinstance(accepted, AcceptedOut), accepted
while True:
    run = get_flow_run.sync(accepted.flow_run_id, client=client, wait=10, response_format="flat")
    assert isinstance(run, RunOut), run
    if run.status not in ("queued", "running"):
        break
print(run.status, run.output_data.to_dict())
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import { readFile } from "node:fs/promises";
import type { paths } from "./schema.js";

const [url, key, deployment, model] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { "X-API-Key": key } });

const published = await client.POST("/node/models/", {
  params: { query: { name: "generated" } },
  body: new Blob([await readFile(model)]) as unknown as string,
  bodySerializer: (body) => body as unknown as Blob,
  headers: { "Content-Type": "application/octet-stream" },
});
if (!published.data) throw new Error(published.error.code);
console.log("published", published.data.name, published.data.version);

const accepted = await client.POST("/node/deployment-trigger/{deployment_id}/", {
  params: { path: { deployment_id: deployment }, query: { response_format: "flat" } },
  body: { input_data: { param1: "value1" } },
});
if (!accepted.data) throw new Error(accepted.error.code);
if (accepted.data.status !== "queued" && accepted.data.status !== "running") throw new Error();
const run_id = accepted.data.flow_run_id;

for (;;) {
  const polled = await client.GET("/node/flow-runs/{run_id}/", {
    params: { path: { run_id }, query: { wait: 10, response_format: "flat" } },
  });
  if (!polled.data) throw new Error(polled.error.code);
  if (polled.data.status === "completed") {
    console.log(polled.data.status, JSON.stringify(polled.data.output_data));
    break;
  }
}
"""


@pytest.fixture
def document(examples: Examples, tmp_path: Path) -> Path:
    """The OpenAPI document."""
    path = tmp_path / "openapi.json"
    path.write_text(examples.http.get("/openapi.json").text)
    return path


def ran(command: list[str], folder: Path, **variables: str) -> str:
    """Run a command, and return what it prints."""
    return printed(
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    )


def arguments(examples: Examples, folder: Path) -> list[str]:
    """Return what each program is called with."""
    model = onnx_models.mlp(folder / "generated.onnx")
    installation = examples.installation
    return [installation.up.url, installation.key, examples.deploy("async"), str(model)]


def test_a_python_client_has_every_operation_and_calls(
    examples: Examples, document: Path, tmp_path: Path
) -> None:
    tools = Path(sys.executable).parent
    command = [str(tools / "openapi-python-client"), "generate", "--path", str(document)]
    said = ran(
        [*command, "--output-path", str(tmp_path / "client")],
        tmp_path,
        PATH=f"{tools}:{os.environ['PATH']}",  # it calls ruff
    )
    assert "WARNING" not in said, said
    operations = [
        operation["operationId"]
        for path in json.loads(document.read_text())["paths"].values()
        for operation in path.values()
    ]
    api = tmp_path / "client" / "slipstream_client" / "api"
    made = {file.stem for file in api.glob("*/*.py")} - {"__init__"}
    assert made == set(operations)
    program = tmp_path / "call.py"
    program.write_text(PYTHON)
    words = [sys.executable, str(program), *arguments(examples, tmp_path)]
    said = ran(words, tmp_path, PYTHONPATH=str(tmp_path / "client"))
    assert said.startswith("published generated "), said
    assert "completed {'param1': 'value1'}" in said


def test_a_typescript_client_compiles_and_calls(
    examples: Examples, document: Path, node_folder: Path, tmp_path: Path
) -> None:
    npx = ["npx", "--no-install"]
    ran([*npx, "openapi-typescript", str(document), "--output", "schema.ts"], node_folder)
    (node_folder / "call.mts").write_text(TYPESCRIPT)
    compile_types(node_folder, "call.mts")
    words = [*node_command(node_folder, "call.mts"), *arguments(examples, tmp_path)]
    said = ran(words, node_folder)
    assert said.startswith("published generated "), said
    assert 'completed {"param1":"value1"}' in said


def test_redocly_finds_nothing(document: Path, node_folder: Path) -> None:
    command = ["npx", "--no-install", "redocly", "lint", str(document), "--format", "json"]
    found = json.loads(ran([*command, "--config", "redocly.yaml"], node_folder))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, found["problems"]
