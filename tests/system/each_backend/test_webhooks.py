"""Webhooks of an installation, for every mode and type, with real processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.webhooks.receiver import Message, Receiver, eventually
from tests.system.flow_documents import failing_flow, transform_flow
from tests.system.installation import Json, chain
from tests.system.runs import Runs

ALL = ["run.started", "run.completed", "run.failed"]
PREDICTED = {"x": [[5.1, 3.5, 1.4, 0.2]]}

kinds = pytest.mark.parametrize("kind", ["api", "server"])


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A process that is sent webhooks."""
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.close()


def deploy(
    runs: Runs, receiver: Receiver, flow: Json, path: str = "ok", **settings: object
) -> Json:
    flow_id = runs.installation.post("/node/flows/", flow)["id"]
    webhook = {"notification_method": "webhook", "callback_url": receiver.url(path)}
    body = {"flow_id": flow_id, "webhook_events": ALL, **webhook, **settings}
    return runs.installation.post("/node/deployments/", body)


def messages_about(receiver: Receiver, run_id: str, count: int = 2) -> list[Message]:
    """Wait for `count` messages about a run; return them in the order of events."""

    def messages() -> list[Message]:
        found = receiver.messages()
        return [message for message in found if message.data.get("flow_run_id") == run_id]

    found = asyncio.run(eventually(messages, lambda got: len(got) >= count))
    return sorted(found, key=lambda message: message.data["sequence"])


@kinds
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_start_and_the_end_of_a_run_are_reported(
    runs: Runs, receiver: Receiver, mode: str, kind: str
) -> None:
    made = deploy(runs, receiver, transform_flow(), execution_mode=mode, deployment_type=kind)
    answer = runs.call(made["id"], {"x": 21})
    assert answer.is_success, answer.text
    run_id = answer.json()["flow_run_id"]
    started, completed = messages_about(receiver, run_id)
    assert started.event["type"] == "run.started"
    assert completed.event["type"] == "run.completed"
    assert completed.data["output_data"] == {"y": 42}
    assert set(completed.data["node_outputs"]) == {"input", "compute", "output"}
    assert completed.data["execution_mode"] == mode
    assert completed.data["result_url"].endswith(f"/node/flow-runs/{run_id}/")
    for message in (started, completed):
        message.verify(made["webhook_secret"])


@kinds
def test_a_fast_call_is_reported_with_its_prediction_in_every_recording_mode(
    runs: Runs, receiver: Receiver, kind: str
) -> None:
    made = deploy(
        runs,
        receiver,
        chain("iris"),
        execution_mode="fast",
        deployment_type=kind,
        record_runs="errors",
    )
    answer = runs.call(made["id"], PREDICTED)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    _, completed = messages_about(receiver, body["flow_run_id"])
    completed.verify(made["webhook_secret"])
    assert completed.data["output_data"] == body["output_data"]
    run = runs.show(body["flow_run_id"])
    assert run["output_data"] == body["output_data"]


def test_a_failed_run_is_reported_with_its_error(runs: Runs, receiver: Receiver) -> None:
    made = deploy(runs, receiver, failing_flow(), execution_mode="async")
    run_id = runs.accept(made["id"], {"x": 0})
    _, failed = messages_about(receiver, run_id)
    assert failed.event["type"] == "run.failed"
    assert failed.data["error"]["code"] == "flow_failed"
    assert failed.data["error"]["node_id"] == "compute"


@pytest.mark.long
def test_the_secret_is_in_no_log_and_no_state_file(runs: Runs, receiver: Receiver) -> None:
    made = deploy(runs, receiver, transform_flow(), execution_mode="sync")
    secret = made["webhook_secret"].removeprefix("whsec_").encode()
    messages_about(receiver, runs.call(made["id"], {"x": 1}).json()["flow_run_id"])
    up = runs.installation.up
    assert secret.decode() not in up.errors
    for file in Path(up.state).rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file
