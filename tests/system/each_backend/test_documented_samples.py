"""The code samples of the product documentation, run unchanged.

`samples/` has verbatim copies, with the indentation of the Python sample restored. Only host, key
and deployment id are replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.slipstream.running import environment
from tests.system.backends import embedded_only
from tests.system.flow_documents import echo_flow
from tests.system.installation import chain
from tests.system.runs import Runs

pytestmark = embedded_only

SAMPLES = Path(__file__).with_name("samples")
HOST = "https://backend.aicuflow.com"
KEY = "sk-EuT64********oyU_O"
DEPLOYMENT = "af86a8a6-40f2-4b92-9f83-c9b3bafb2ccb"

DEFAULT: Mapping[str, str] = {}
FLAT, ENVELOPE = ({"response_format": name} for name in ("flat", "envelope"))


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
@pytest.mark.parametrize("settings", [DEFAULT, FLAT, ENVELOPE])
def test_the_curl_sample_prints_the_documented_body(
    runs: Runs, kind: str, settings: Mapping[str, str]
) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, **settings)
    ran = execute("/bin/sh", text=sample("curl", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    body = json.loads(ran.stdout)
    if settings is ENVELOPE:
        assert body["status"] == "success"
        body = body["data"]
    assert body["status"] == "completed"
    assert body["output_data"] == {"param1": "value1"}
    assert isinstance(body["duration_seconds"], float)


@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.parametrize("settings", [DEFAULT, FLAT, ENVELOPE])
def test_the_python_sample_prints_the_result(
    runs: Runs, kind: str, settings: Mapping[str, str]
) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, **settings)
    ran = execute(sys.executable, "-", text=sample("python", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    status, output, duration = ran.stdout.splitlines()
    assert status == "Status: completed"
    assert output == "Output: {'param1': 'value1'}"
    assert float(duration.removeprefix("Duration: ").removesuffix(" seconds")) > 0


@pytest.mark.services
@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.parametrize("settings", [DEFAULT, ENVELOPE])
def test_the_javascript_sample_prints_the_result(
    runs: Runs, kind: str, settings: Mapping[str, str]
) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind, **settings)
    ran = execute("node", "--input-type=module", text=sample("javascript", runs, deployment))
    assert ran.returncode == 0, ran.stderr
    status, output, duration = ran.stdout.splitlines()
    assert status == "Status: completed"
    assert output == "Output: { param1: 'value1' }"
    assert float(duration.removeprefix("Duration: ").removesuffix(" seconds")) > 0


@pytest.mark.services
def test_the_javascript_sample_prints_the_result_of_a_fast_call(runs: Runs) -> None:
    deployment = runs.deploy(chain("iris"), "fast")
    text = sample("javascript", runs, deployment)
    assert text.count('param1: "value1"') == 1
    text = text.replace('param1: "value1"', "x: [[5.1, 3.5, 1.4, 0.2]]")
    ran = execute("node", "--input-type=module", text=text)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Status: completed\n")
    assert "label: [ 0 ]" in ran.stdout


@pytest.mark.services
def test_a_script_that_polls_gets_the_format_that_it_was_answered_in(runs: Runs) -> None:
    run_id = runs.accept(runs.deploy(echo_flow(), "async"), {"param1": "value1"})
    script = f"""
        const url = "{runs.installation.up.url}/node/flow-runs/{run_id}/?wait=30";
        const response = await fetch(url, {{headers: {{"X-API-Key": "{runs.installation.key}"}}}});
        const result = await response.json();
        console.log(result.status, result.data.output_data.param1);
    """
    ran = execute("node", "--input-type=module", text=script)
    assert ran.stdout == "success value1\n", ran.stderr
    assert runs.poll(run_id).json()["output_data"] == {"param1": "value1"}


@pytest.mark.services
def test_the_javascript_sample_refuses_a_flat_answer_whose_header_says_what_it_is(
    runs: Runs,
) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server", **FLAT)
    text = sample("javascript", runs, deployment)
    assert text.count("await response.json()") == 1
    shown = 'console.log(response.headers.get("Response-Format")), await response.json()'
    text = text.replace("await response.json()", f"({shown})")
    ran = execute("node", "--input-type=module", text=text)
    assert ran.returncode != 0
    assert ran.stdout == "flat; by=deployment\n"
    assert "API Error: Flow execution completed." in ran.stderr


@pytest.mark.services
@pytest.mark.parametrize("settings", [DEFAULT, FLAT, ENVELOPE])
def test_the_samples_print_why_a_call_was_refused(runs: Runs, settings: Mapping[str, str]) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server", **settings)
    assert runs.http.delete(f"/node/deployments/{deployment}/").is_success
    python = execute(sys.executable, "-", text=sample("python", runs, deployment))
    javascript = execute("node", "--input-type=module", text=sample("javascript", runs, deployment))
    for ran in (python, javascript):
        assert ran.returncode != 0
        assert "API Error: " in ran.stderr
        assert "was deleted" in ran.stderr
