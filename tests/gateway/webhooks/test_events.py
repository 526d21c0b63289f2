"""The JSON of events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.runs import rows
from gateway.runs.run import Run, RunError, RunStatus
from gateway.webhooks.event_schemas import (
    CancelledEvent,
    CompletedEvent,
    FailedEvent,
    StartedEvent,
)
from gateway.webhooks.events import MAX_PAYLOAD_BYTES, RunEvent, payload_of
from tests.gateway.runs.builders import new_run

THEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
DOCUMENTED = {
    "run.started": StartedEvent,
    "run.completed": CompletedEvent,
    "run.failed": FailedEvent,
    "run.cancelled": CancelledEvent,
}
URL = "https://flows.example.com/node/flow-runs/x/"


def run(**changes: Any) -> Run:
    """Return a completed run with some fields changed. Any: the fields of Run."""
    done = {
        "status": RunStatus.COMPLETED,
        "finished_at": THEN + timedelta(seconds=4.2),
        "duration_seconds": 4.2,
        "output_data": b'{"label":1}',
        "node_outputs": b'{"model":{"status":"completed"}}',
    }
    return replace(rows.new_run(new_run(), now=THEN, started=True), **{**done, **changes})


def parse(event: RunEvent, **options: Any) -> dict[str, Any]:
    """Return an event parsed as a receiver does. Any: JSON."""
    found: dict[str, Any] = json.loads(payload_of(event, result_url=URL, **options))
    documented = DOCUMENTED[found["type"]].model_validate(found)
    assert found["data"].keys() <= type(documented.data).model_fields.keys()
    return found


def test_an_event_has_the_labels_of_its_run() -> None:
    for event in (
        RunEvent.started(run(labels={"order": "42"})),
        RunEvent.ended(run(labels={"order": "42"})),
    ):
        assert parse(event)["data"]["metadata"] == {"order": "42"}


def test_a_completed_run_is_reported_with_all_its_outputs() -> None:
    done = run()
    event = parse(RunEvent.ended(done))
    assert event["type"] == "run.completed"
    assert event["timestamp"] == "2026-01-02T03:04:09.878Z"
    assert event["data"] == {
        "flow_run_id": done.id,
        "deployment_id": done.deployment_id,
        "deployment_version": 1,
        "flow_id": done.flow_id,
        "execution_mode": "async",
        "status": "completed",
        "metadata": {},
        "output_data": {"label": 1},
        "node_outputs": {"model": {"status": "completed"}},
        "error": None,
        "duration_seconds": 4.2,
        "created_at": "2026-01-02T03:04:05.678Z",
        "started_at": "2026-01-02T03:04:05.678Z",
        "finished_at": "2026-01-02T03:04:09.878Z",
        "sequence": 2,
        "result_url": URL,
    }


def test_a_started_run_is_reported_without_outputs() -> None:
    event = parse(RunEvent.started(run()))
    assert (event["type"], event["timestamp"]) == ("run.started", "2026-01-02T03:04:05.678Z")
    data = event["data"]
    assert (data["status"], data["sequence"]) == ("running", 1)
    assert not {"output_data", "node_outputs", "finished_at"} & data.keys()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (RunStatus.FAILED, "timeout", "run.failed"),
        (RunStatus.FAILED, "worker_lost", "run.failed"),
        (RunStatus.CANCELLED, "cancelled", "run.cancelled"),
    ],
)
def test_a_final_status_is_reported_with_its_error(
    status: RunStatus, code: str, expected: str
) -> None:
    error = RunError(code=code, message="why", node_id="model")
    bad = run(status=status, error=error, output_data=None, node_outputs=None)
    event = parse(RunEvent.ended(bad))
    assert event["type"] == expected
    assert event["data"]["status"] == status
    assert event["data"]["error"] == {"code": code, "message": "why", "node_id": "model"}
    assert event["data"]["output_data"] is None
    assert "output_truncated" not in event["data"]


def test_a_cancelled_run_is_reported_with_the_error_cancelled() -> None:
    stopped = run(status=RunStatus.CANCELLED, output_data=None)
    assert parse(RunEvent.ended(stopped))["data"]["error"]["code"] == "cancelled"


@pytest.mark.parametrize("large", ["output_data", "node_outputs"])
def test_outputs_too_large_for_an_event_are_omitted_and_marked(large: str) -> None:
    text = json.dumps({"text": "x" * MAX_PAYLOAD_BYTES}).encode()
    payload = payload_of(RunEvent.ended(run(**{large: text})), result_url=URL)
    assert len(payload) < 1000
    data = json.loads(payload)["data"]
    assert (data["output_data"], data["node_outputs"]) == (None, None)
    assert data["output_truncated"] is True
    assert data["result_url"] == URL


def test_an_event_has_at_most_256_kib() -> None:
    empty = len(payload_of(RunEvent.ended(run(output_data=b'""')), result_url=URL))
    room = MAX_PAYLOAD_BYTES - empty
    fits = run(output_data=b'"%b"' % (b"x" * room))
    assert len(payload_of(RunEvent.ended(fits), result_url=URL)) == MAX_PAYLOAD_BYTES
    over = run(output_data=b'"%b"' % (b"x" * (room + 1)))
    assert b"output_truncated" in payload_of(RunEvent.ended(over), result_url=URL)


def test_node_outputs_are_omitted_if_the_deployment_disables_them() -> None:
    assert parse(RunEvent.ended(run()), include_node_outputs=False)["data"]["node_outputs"] == {}


def test_an_output_too_large_to_store_is_marked_as_truncated() -> None:
    assert parse(RunEvent.ended(run(output_data=None)))["data"]["output_truncated"] is True
