"""The product documentation's samples run verbatim with what a first caller has: only defaults."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.system.each_backend.test_documented_samples import DEPLOYMENT, HOST, KEY, SAMPLES
from tests.system.example_code.examples import SECONDS, Examples, services
from tests.system.flow_documents import echo_flow

COMMANDS = {
    "curl": ["/bin/sh"],
    "python": [sys.executable, "-"],
    "javascript": ["node", "--input-type=module"],
}
DOCUMENTED = [
    "python",
    pytest.param("curl", marks=services),
    pytest.param("javascript", marks=services),
]


def first_deployment(examples: Examples) -> tuple[str, str]:
    """Deploy the documentation's flow with defaults only; return id and complete key."""
    flow_id = examples.installation.post("/node/flows/", echo_flow())["id"]
    made = examples.installation.post("/node/deployments/", {"flow_id": flow_id})
    path = f"/node/deployments/{made['id']}/api-keys/"
    return made["id"], examples.installation.post(path, {})["key"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_sample_runs_verbatim(examples: Examples, name: str) -> None:
    deployment, key = first_deployment(examples)
    text = (SAMPLES / f"{name}.txt").read_text()
    for documented, ours in (
        (HOST, examples.installation.up.url),
        (KEY, key),
        (DEPLOYMENT, deployment),
    ):
        assert text.count(documented) == 1
        text = text.replace(documented, ours)
    ran = subprocess.run(
        COMMANDS[name],
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=examples.environment(),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    if name == "curl":
        body = json.loads(ran.stdout)
        assert (body["status"], body["output_data"]) == ("completed", {"param1": "value1"})
    else:
        status, output, duration = ran.stdout.splitlines()
        assert status == "Status: completed"
        assert "value1" in output
        assert float(duration.removeprefix("Duration: ").removesuffix(" seconds")) > 0


@pytest.mark.parametrize("name", DOCUMENTED)
def test_our_example_makes_the_same_call(examples: Examples, name: str) -> None:
    deployment, key = first_deployment(examples)
    example = examples.one(deployment, name, "wait")
    mask = f"{key[:8]}********{key[-5:]}"
    assert mask in example["code"]
    for name_of_document in ("param1", "value1", "X-API-Key", "Content-Type", "input_data"):
        assert name_of_document in example["code"]
    ran = examples.execute(example, key=key)
    assert ran.returncode == 0, ran.stderr
    assert examples.output_of_last_run(deployment) == {"param1": "value1"}
