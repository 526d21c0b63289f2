"""The code samples of the product documentation, run unchanged.

`samples/` has verbatim copies, with the indentation of the Python sample restored. Only host, key
and deployment id are replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slipstream.running import environment
from tests.system.flow_documents import echo_flow
from tests.system.runs import Runs

SAMPLES = Path(__file__).with_name("samples")
HOST = "https://backend.aicuflow.com"
KEY = "sk-EuT64********oyU_O"
DEPLOYMENT = "af86a8a6-40f2-4b92-9f83-c9b3bafb2ccb"

FORMATS = ("flat", "envelope")


def sample(name: str, runs: Runs, deployment: str) -> str:
    """Return a sample for a deployment."""
    text = (SAMPLES / f"{name}.txt").read_text()
    for documented, ours in (
        (HOST, runs.installation.up.url),
        (KEY, runs.installation.key),
        (DEPLOYMENT, deployment),
    ):
        assert text.count(documented) == 1, documented
        text = text.replace(documented, ours)
    return text


def execute(*command: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run a program that reads its code from stdin."""
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, env=environment()
    )


@pytest.mark.services
@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.parametrize("response_format", FORMATS)
def test_the_curl_sample_prints_the_documented_body(
    runs: Runs, kind: str, response_format: str
) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, response_format=response_format)
    ran = execute("/bin/sh", text=sample("curl", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    body = json.loads(ran.stdout)
    if response_format == "envelope":
        assert body["status"] == "success"
        body = body["data"]
    assert body["status"] == "completed"
    assert body["output_data"] == {"param1": "value1"}
    assert isinstance(body["duration_seconds"], float)


@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.parametrize("response_format", FORMATS)
def test_the_python_sample_prints_the_result(runs: Runs, kind: str, response_format: str) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, response_format=response_format)
    ran = execute(sys.executable, "-", text=sample("python", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    status, output, duration = ran.stdout.splitlines()
    assert status == "Status: completed"
    assert output == "Output: {'param1': 'value1'}"
    assert float(duration.removeprefix("Duration: ").removesuffix(" seconds")) > 0


@pytest.mark.services
@pytest.mark.parametrize("kind", ["api", "server"])
def test_the_javascript_sample_prints_the_result_of_an_envelope(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, response_format="envelope")
    ran = execute("node", "--input-type=module", text=sample("javascript", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    status, output, duration = ran.stdout.splitlines()
    assert status == "Status: completed"
    assert output == "Output: { param1: 'value1' }"
    assert float(duration.removeprefix("Duration: ").removesuffix(" seconds")) > 0


@pytest.mark.services
def test_the_javascript_sample_on_a_flat_answer_says_which_format_it_needs(runs: Runs) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server", response_format="flat")
    ran = execute("node", "--input-type=module", text=sample("javascript", runs, deployment))
    assert ran.returncode != 0
    assert "API Error: " in ran.stderr
    assert "response_format" in ran.stderr


@pytest.mark.services
@pytest.mark.parametrize("response_format", FORMATS)
def test_the_samples_print_why_a_call_was_refused(runs: Runs, response_format: str) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server", response_format=response_format)
    assert runs.http.delete(f"/node/deployments/{deployment}/").is_success
    python = execute(sys.executable, "-", text=sample("python", runs, deployment))
    javascript = execute("node", "--input-type=module", text=sample("javascript", runs, deployment))
    for ran in (python, javascript):
        assert ran.returncode != 0
        assert "API Error: " in ran.stderr
        assert "was deleted" in ran.stderr
