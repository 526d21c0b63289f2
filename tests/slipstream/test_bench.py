"""`slipstream bench` against a running Slipstream."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.slipstream.cli import invoke
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS

NAME = "Iris classifier"
QUICK = ("--seconds", "0.3", "--warmup", "0")
IRIS = json.dumps({"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}})
V2_IRIS = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}
)
COUNTED = re.compile(r'^gateway_requests_total\{.*code="(\d+)".*\} (\d+)', re.MULTILINE)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    up = Up(
        tmp_path_factory.mktemp("bench") / "state",
        *NO_WORKER,
        SLIPSTREAM_FAILED_AUTH_PER_MINUTE="0",
    )
    up.until("documentation")
    running = Installation(up)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def deployment_id(installation: Installation) -> str:
    (listed,) = installation.command("deployments", "list")["items"]
    assert listed["name"] == NAME
    found: str = listed["id"]
    return found


def run(installation: Installation, *words: str, **extra: str) -> Result:
    """Run the command in this process; the load comes from another in any case."""
    environ = {name: None for name in os.environ if name.startswith("SLIPSTREAM_")}
    state = ("--state", str(installation.up.state))
    return invoke(["bench", *words, *state], env={**environ, **extra})


def answer(installation: Installation, *words: str, **extra: str) -> Any:
    """Return the JSON document of a load in which nothing failed."""
    result = run(installation, *words, "--json", **extra)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(installation: Installation, *words: str) -> tuple[int, str]:
    """Return exit status and error code; check the line on stderr."""
    result = run(installation, *words, "--json")
    error = json.loads(result.stdout)["error"]
    assert f"slipstream: {error['message']}" in result.stderr.splitlines()
    return result.exit_code, error["code"]


def start(installation: Installation, *words: str) -> subprocess.Popen[str]:
    """Start the command as a process that can be sent signals."""
    state = str(installation.up.state)
    return subprocess.Popen(
        [sys.executable, "-m", "slipstream", "bench", *words, "--state", state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr."""
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, out, err


def key_names(installation: Installation) -> list[str]:
    return [key["name"] for key in installation.http.get("/node/api-keys/").json()["items"]]


def until_counted(installation: Installation, status: str, more_than: int) -> int:
    """Wait until the gateway has answered more than so many calls with a status; return it."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        text = installation.http.get("/metrics").text
        count = sum(int(n) for code, n in COUNTED.findall(text) if code == status)
        if count > more_than:
            return count
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_deployment_by_name_gives_a_result_for_each_number_of_connections(
    installation: Installation, deployment_id: str
) -> None:
    before = key_names(installation)
    document = answer(installation, NAME, "--concurrency", "1,4", *QUICK)
    assert document["url"] == f"{installation.up.url}/node/deployment-trigger/{deployment_id}/"
    assert document["interrupted"] is False
    assert [result["connections"] for result in document["results"]] == [1, 4]
    for result in document["results"]:
        latency, model = result["latency_seconds"], result["model_seconds"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
        assert result["overhead_seconds"] == pytest.approx(latency["p50"] - model["infer"])
        assert result["answered"] == sum(bucket["count"] for bucket in result["histogram"])
        assert result["per_second"] == pytest.approx(result["answered"] / result["seconds"])
        assert result["failures"] == []
        assert result["generator_cpu"] > 0
    assert key_names(installation) == before


def test_a_deployment_by_id_gives_a_table_and_a_histogram(
    installation: Installation, deployment_id: str
) -> None:
    result = run(installation, deployment_id, "--concurrency", "2", *QUICK)
    assert result.exit_code == 0
    headings = r"connections +req/s +p50 +p90 +p99 +max +failed +model +queue +overhead\n"
    assert re.match(headings, result.stdout)
    assert "2 connections, " in result.stdout
    assert re.search(r"^ +[\d.]+ - [\d.]+ (µs|ms) +[\d.]+%  █", result.stdout, re.MULTILINE)
    assert "of one core" in result.stdout
    assert "Measuring with 2 connections" in result.stderr


def test_urls_of_deployments_and_of_v2_are_called_with_body_and_key(
    installation: Installation, deployment_id: str, tmp_path: Path
) -> None:
    trigger = f"{installation.up.url}/node/deployment-trigger/{deployment_id}/"
    words = ("--concurrency", "1", *QUICK)
    document = answer(installation, trigger, "--data", IRIS, "--key", installation.key, *words)
    assert document["url"] == trigger
    file = tmp_path / "body.json"
    file.write_text(V2_IRIS)
    infer = f"{installation.up.url}/v2/models/iris/infer"
    by_file = (infer, "--data", f"@{file}", *words)
    document = answer(installation, *by_file, SLIPSTREAM_API_KEY=installation.key)
    assert document["results"][0]["answered"] > 0


def test_a_failed_first_call_is_reported_with_code_and_message(
    installation: Installation, deployment_id: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v2/models/iris/infer"
    infer = f"{installation.up.url}/v2/models/nothing/infer"
    key = ("--key", installation.key)
    assert refusal(installation, NAME, "--key", "sk-wrong") == (1, "api_key_invalid")
    assert refusal(installation, NAME, "--data", "{}") == (1, "invalid_input")
    assert refusal(installation, infer, "--data", V2_IRIS, *key) == (1, "http_404")
    assert refusal(installation, nowhere, "--data", V2_IRIS) == (1, "unreachable")


def test_an_unknown_or_ambiguous_deployment_is_refused(installation: Installation) -> None:
    assert refusal(installation, "nothing") == (1, "not_found")
    assert refusal(installation, "00000000-0000-4000-8000-000000000000") == (1, "not_found")
    for _ in range(2):
        installation.deploy(chain("iris"), name="twice")
    assert refusal(installation, "twice") == (1, "validation_failed")


def test_a_flow_without_test_data_needs_a_body(installation: Installation) -> None:
    before = key_names(installation)
    installation.deploy(chain("iris"), name="bare")
    assert refusal(installation, "bare") == (1, "invalid_flow")
    words = ("--concurrency", "1", *QUICK)
    assert answer(installation, "bare", "--data", IRIS, *words)["results"][0]["failed"] == 0
    assert key_names(installation) == before


@pytest.mark.parametrize(
    "words",
    [
        (NAME, "--concurrency", "0"),
        (NAME, "--concurrency", "1,many"),
        (NAME, "--seconds", "0"),
        (NAME, "--data", '{"input_data":'),
        (NAME, "--data", "@no such file"),
        (NAME, "--key", "sk-\n"),
        ("http://127.0.0.1:8080/v2/models/iris/infer",),
        ("ftp://127.0.0.1/", "--data", "{}"),
        ("http://127.0.0.1:99999/", "--data", "{}"),
        ("http:///v2", "--data", "{}"),
    ],
)
def test_a_usage_error_has_its_own_exit_status(
    installation: Installation, words: tuple[str, ...]
) -> None:
    result = run(installation, *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Invalid value" in result.stderr


def test_failures_under_load_are_counted_and_ctrl_c_shows_what_was_measured(
    installation: Installation,
) -> None:
    key = installation.command("keys", "create", "--name", "short-lived")
    words = (NAME, "--key", key["key"], "--concurrency", "2,4", "--seconds", "600")
    answered = until_counted(installation, "200", -1)
    refused = until_counted(installation, "401", -1)
    process = start(installation, *words, "--warmup", "0", "--json")
    until_counted(installation, "200", answered + 10)
    installation.command("keys", "deactivate", key["id"])
    until_counted(installation, "401", refused)
    process.send_signal(signal.SIGINT)
    status, out, _ = ended(process)
    assert status == 1
    document = json.loads(out)
    assert document["interrupted"] is True
    (result,) = document["results"]
    assert result["connections"] == 2
    assert result["answered"] > 0
    failures = {(found["status"], found["code"]): found["count"] for found in result["failures"]}
    assert result["failed"] > 0
    assert failures == {(401, "api_key_deactivated"): result["failed"]}


@pytest.mark.long
def test_sigterm_deletes_the_temporary_key(installation: Installation) -> None:
    before = key_names(installation)
    answered = until_counted(installation, "200", -1)
    process = start(installation, NAME, "--concurrency", "1", "--seconds", "600", "--warmup", "0")
    until_counted(installation, "200", answered + 10)
    assert "slipstream bench" in key_names(installation)
    os.kill(process.pid, signal.SIGTERM)
    status, out, err = ended(process)
    assert status == 0
    assert "Interrupted" in err
    assert out.startswith("connections")
    assert key_names(installation) == before
