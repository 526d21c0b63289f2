"""A model that loads slowly: 503 with the boot phase until it is ready."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import onnx_models
from tests.older_release import make_unservable
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS


def test_a_slow_model_reports_its_progress_and_does_not_disturb_others(
    installation: Installation, tmp_path: Path
) -> None:
    installation.add_model("slow", onnx_models.slow_to_load(tmp_path / "slow.onnx", 2))
    slow = installation.deploy(chain("slow"))
    quick = installation.deploy(chain("iris"))
    phases: set[str] = set()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    body = {"input_data": {"x": [1.0, 2.0, 3.0]}}
    while True:
        answer = installation.trigger(slow, json=body)
        assert installation.trigger(quick, json={"input_data": {"x": [[1, 2, 3, 4]]}}).is_success
        if answer.status_code == 200:
            break
        problem = answer.json()
        if problem["code"] == "no_active_inference":  # this gateway does not know the server yet
            assert (answer.status_code, phases) == (409, set())
        elif problem["code"] == "inference_server_unavailable":  # it was ready a moment ago
            assert "is being connected" in problem["message"]
        else:
            assert (answer.status_code, problem["code"]) == (503, "inference_server_booting")
            assert int(answer.headers["retry-after"]) >= 1
            assert problem["retryable"] is True
            assert problem["phase"] in problem["message"]
            phases.add(problem["phase"])
        assert installation.http.get("/readyz").status_code == 200
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.json()["output_data"] == {"y": [1.0, 2.0, 3.0]}
    assert "loading" in phases
    servers = installation.http.get("/node/inference-servers/").json()["items"]
    (listed,) = [server for server in servers if server["model"] == "slow"]
    server = installation.until_ready(listed["id"])  # a gateway may know it before the database
    (process,) = server["processes"]
    assert process["pid"] > 0
    assert process["address"].startswith("unix:")
    assert server["expected_boot_seconds"] == server["boot_seconds"]
    assert server["slow_boot_seconds"] is None, "one boot says little"
    installation.http.post(f"/node/inference-servers/{server['id']}/stop/")


@pytest.mark.long
def test_a_model_that_cannot_be_served_fails_with_its_reason(
    installation: Installation, tmp_path: Path
) -> None:
    installation.add_model("sequence", onnx_models.identity(tmp_path / "sequence.onnx"))
    make_unservable(installation.up.state / "models", "sequence")
    server = installation.serve("sequence", wait=False)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while server["state"] != "failed":
        assert time.monotonic() < deadline, server
        time.sleep(0.05)
        server = installation.http.get(f"/node/inference-servers/{server['id']}/").json()
    assert "seq" in server["reason"]
    assert server["expected_boot_seconds"] is None, "it was never ready"
    lines = installation.http.get(f"/node/inference-servers/{server['id']}/logs/").json()["lines"]
    while not any(line["level"] == "error" for line in lines):  # they are written within seconds
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
        logs = installation.http.get(f"/node/inference-servers/{server['id']}/logs/")
        lines = logs.json()["lines"]
    texts = [line["text"] for line in lines]
    assert f"failed: {server['reason']}" in texts
    assert "loading" in texts
    printed = installation.command("models", "logs", "sequence")["lines"]
    assert [line["text"] for line in printed][: len(texts)] == texts
    answer = installation.http.post("/v2/models/sequence/infer", json={"inputs": []})
    assert answer.status_code == 503
    assert "seq" in answer.json()["error"]
