"""Examples that receive webhooks accept our events once, and reject forged ones."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from tests.gateway.webhooks.test_documented_receivers import until_it_listens
from tests.slipstream.running import free_port
from tests.system.example_code.examples import Examples, services
from tests.system.example_code.typescript import compile_types, node_command
from tests.timing import eventually


@contextmanager
def running(
    command: Sequence[str], examples: Examples, secret: str, port: int
) -> Iterator[list[str]]:
    """Run a receiver; what it printed is available after its end."""
    variables = {"SLIPSTREAM_WEBHOOK_SECRET": secret, "PORT": str(port)}
    process = subprocess.Popen(
        command,
        cwd=examples.folder,
        env={**examples.environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines: list[str] = []
    try:
        until_it_listens(port)
        yield lines
    finally:
        process.terminate()
        output, _ = process.communicate()
        lines += output.splitlines()


@pytest.mark.parametrize(
    "language",
    ["python", *(pytest.param(name, marks=services) for name in ("javascript", "typescript"))],
)
def test_a_receiver_handles_each_event_once_and_rejects_forged_ones(
    examples: Examples, language: str, request: pytest.FixtureRequest
) -> None:
    port = free_port()
    webhook = {
        "notification_method": "webhook",
        "callback_url": f"http://127.0.0.1:{port}/",
        "webhook_events": ["run.completed"],
    }
    deployment = examples.deploy(**webhook)
    rotated = examples.http.post(f"/node/webhooks/endpoints/{deployment}/rotate/")
    assert rotated.is_success, rotated.text
    example = examples.one(deployment, language, "webhook")
    if language != "python":
        examples.folder = request.getfixturevalue("node_folder")
    command = examples.write(example)
    if language == "typescript":
        compile_types(examples.folder, example["filename"])
        command = node_command(examples.folder, example["filename"])
    with running(command, examples, rotated.json()["secret"], port) as lines:
        run_id = examples.runs.call(deployment, {"param1": "value1"}).json()["flow_run_id"]
        delivery = delivered(examples, run_id)
        again = examples.http.post(f"/node/webhooks/deliveries/{delivery}/replay/")
        assert again.is_success, again.text
        delivered(examples, run_id)
        forged = httpx.post(
            f"http://127.0.0.1:{port}/",
            content=b'{"type": "run.completed", "data": {}}',
            headers={
                "webhook-id": "msg_forged",
                "webhook-timestamp": str(int(time.time())),
                "webhook-signature": "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            },
        )
    assert forged.status_code == 401
    (line,) = lines
    assert line.startswith("run.completed")
    assert run_id in line


def delivered(examples: Examples, run_id: str) -> str:
    """Wait until the only delivery of a run was accepted; return its id."""

    def look() -> list[dict[str, str]]:
        answer = examples.http.get("/node/webhooks/deliveries/", params={"run": run_id})
        found: list[dict[str, str]] = answer.json()["items"]
        return found

    (delivery,) = eventually(look, lambda items: [it["status"] for it in items] == ["delivered"])
    return delivery["id"]


def test_a_deployment_without_a_webhook_says_how_it_gets_one(examples: Examples) -> None:
    deployment = examples.deploy()
    example = examples.one(deployment, "python", "webhook")
    command = f"slipstream deployments set {deployment} --callback-url URL"
    assert command in example["code"]
    with_webhook = {"notification_method": "webhook", "callback_url": "http://127.0.0.1:9/"}
    changed = examples.http.patch(f"/node/deployments/{deployment}/", json=with_webhook)
    assert changed.is_success, changed.text
    assert command not in examples.one(deployment, "python", "webhook")["code"]
