"""`slipstream logs`: what all processes of an installation have logged."""

from __future__ import annotations

import json
from typing import Any

from slipstream.log_files import log_file
from tests.slipstream.cli import invoke
from tests.system.flow_documents import failing_flow
from tests.system.installation import Installation


def lines(installation: Installation, *words: str) -> list[dict[str, Any]]:  # Any: JSON
    """Return the lines that match."""
    result = invoke(["logs", "--json", "--state", str(installation.up.state), *words])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_failed_call_is_found_by_its_request_and_a_server_by_its_model(
    installation: Installation,
) -> None:
    deployment = installation.deploy(
        failing_flow(), execution_mode="sync", deployment_type="server"
    )
    answer = installation.trigger(deployment, json={"input_data": {"x": 1}})
    assert answer.json()["code"] == "flow_failed", answer.text
    (failed,) = lines(installation, "--request-id", answer.headers["X-Request-ID"])
    assert (failed["event"], failed["process"]) == ("run_failed", "gateway")
    assert failed["deployment"] == deployment
    name = installation.http.get(f"/node/deployments/{deployment}/").json()["name"]
    assert failed in lines(installation, "--deployment", name, "--level", "warning")

    servers = lines(installation, "--model", "mixed", "--process", "inference_server")
    assert {line["event"] for line in servers} >= {"listening", "ready"}
    assert {line["model"] for line in servers} == {"mixed"}
    started = lines(installation, "--process", "supervisor", "-n", "100000")
    assert started[0]["event"] == "supervisor_started"


def test_calls_are_answered_while_the_log_cannot_be_written(installation: Installation) -> None:
    deployment = installation.deploy(
        failing_flow(), execution_mode="sync", deployment_type="server"
    )

    def call() -> str:
        answer = installation.trigger(deployment, json={"input_data": {"x": 1}})
        assert answer.json()["code"] == "flow_failed", answer.text
        return str(answer.headers["X-Request-ID"])

    folder = log_file(installation.up.state).parent
    before = folder.rename(folder.with_name("logs-before"))
    folder.write_text("no folder")
    try:
        lost = call()
    finally:
        folder.unlink()
        before.rename(folder)
    kept = call()
    assert len(lines(installation, "--request-id", kept)) == 1
    assert not lines(installation, "--request-id", lost)
    logged = [json.loads(it) for it in installation.up.errors.splitlines() if it.startswith("{")]
    assert lost in [line.get("request_id") for line in logged]
    assert "log_file_failed" in [line["event"] for line in logged]
