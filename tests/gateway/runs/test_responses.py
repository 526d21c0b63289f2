"""Bodies, headers and errors of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode, ResponseFormat
from gateway.runs.responses import (
    ERROR_CODES,
    accepted_body,
    error_of_run,
    finished_body,
    poll_body,
    retry_after,
    run_etag,
    run_location,
    server_timing,
)
from gateway.runs.run import FailureCode, Run, RunDetails, RunError, RunStatus
from gateway.web.problems import problem

FLAT, ENVELOPE = ResponseFormat.FLAT, ResponseFormat.ENVELOPE
BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
QUEUED = Run(
    id="r",
    profile_id="p",
    deployment_id="d",
    version=3,
    flow_id="f",
    mode=ExecutionMode.SYNC,
    type=DeploymentType.API,
    key_id=None,
    retry_of=None,
    status=RunStatus.QUEUED,
    cancel_requested=False,
    timeout_seconds=60.0,
    retry_safe=False,
    attempt=0,
    max_attempts=3,
    event_count=0,
    created_at=BEGAN,
    queue_until=None,
    started_at=None,
    finished_at=None,
    duration_seconds=None,
    error=None,
    idempotency_key=None,
    test=False,
)
RUNNING = replace(
    QUEUED, status=RunStatus.RUNNING, attempt=1, started_at=BEGAN + timedelta(seconds=0.5)
)
CANCELLING = replace(RUNNING, cancel_requested=True)
COMPLETED = replace(
    RUNNING,
    status=RunStatus.COMPLETED,
    finished_at=BEGAN + timedelta(seconds=4.7),
    duration_seconds=4.2,
    output_data=b'{"y":"\\u00e9"}',
    node_outputs=b'{"m":{"name":"M"}}',
)
FAILED = replace(
    COMPLETED,
    status=RunStatus.FAILED,
    output_data=None,
    error=RunError(code=FailureCode.FLOW_FAILED, message="x is no number", node_id="m"),
)
CANCELLED = replace(
    FAILED,
    status=RunStatus.CANCELLED,
    error=RunError(code=FailureCode.CANCELLED, message="stopped"),
)
DONE = {
    "status": "completed",
    "flow_run_id": "r",
    "output_data": {"y": "é"},
    "node_outputs": {"m": {"name": "M"}},
    "duration_seconds": 4.2,
}


def read(body: bytes) -> dict[str, Any]:
    """Return the body's members: Any, because it is JSON."""
    members: dict[str, Any] = orjson.loads(body)
    return members


def test_a_sync_response_is_the_documented_one_and_repeats_itself_in_data() -> None:
    body = read(finished_body(COMPLETED, FLAT))
    message, data = body.pop("message"), body.pop("data")
    assert body == data == DONE
    assert message == "Flow execution completed."


def test_an_envelope_has_status_success_and_the_run_as_data() -> None:
    body = read(finished_body(COMPLETED, ENVELOPE))
    assert body == {
        "status": "success",
        "message": "Flow execution completed.",
        "data": DONE,
    }


@pytest.mark.parametrize("part", ["output_data", "node_outputs"])
def test_a_flat_response_repeats_outputs_of_up_to_64_kib(part: str) -> None:
    room = 64 * 1024 - len(COMPLETED.output_data or b"") - len(COMPLETED.node_outputs or b"")
    room += len(getattr(COMPLETED, part))
    for size, repeats in ((room, True), (room + 1, False)):
        large = replace(COMPLETED, **{part: b'{"y":"%b"}' % (b"a" * (size - len('{"y":""}')))})
        for body in (finished_body(large, FLAT), poll_body(large, FLAT)):
            assert ("data" in read(body)) == repeats
            assert ("response_format=envelope" in read(body)["message"]) != repeats
            assert len(body) < (2 if repeats else 1) * size + 2_000
        assert read(poll_body(large, ENVELOPE))["data"][part]


def test_node_outputs_can_be_omitted_and_are_null_if_they_were_too_large() -> None:
    assert read(finished_body(COMPLETED, FLAT, include_node_outputs=False))["node_outputs"] == {}
    dropped = replace(COMPLETED, node_outputs=None)
    assert read(finished_body(dropped, FLAT))["node_outputs"] is None


def test_an_accepted_response_is_the_documented_one_with_paths_of_the_run() -> None:
    paths = {name: f"/node/flow-runs/r/{name}/" for name in ("events", "cancel")}
    urls = {"get": "/node/flow-runs/r/", **paths}
    fields = {"flow_run_id": "r", "status": "queued", "urls": urls}
    message = "Flow execution started. Use the flow_run_id to check status."
    assert read(accepted_body(QUEUED, FLAT)) == {**fields, "message": message, "data": fields}
    enveloped = read(accepted_body(QUEUED, ENVELOPE))
    assert enveloped == {"status": "success", "message": message, "data": fields}


@pytest.mark.parametrize("run", [QUEUED, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED])
def test_a_poll_has_the_same_members_in_every_state(run: Run) -> None:
    body = read(poll_body(run, FLAT))
    data = body.pop("data")
    assert isinstance(body.pop("message"), str)
    assert body == data
    assert set(data) == {
        *("flow_run_id", "deployment_id", "deployment_version", "flow_id", "execution_mode"),
        *("deployment_type", "status", "attempt", "error", "duration_seconds", "queue_seconds"),
        *("created_at", "started_at", "finished_at", "retry_of", "output_data", "node_outputs"),
        *("api_key_id", "request_id", "trace_id", "test", "metadata", "urls"),
    }
    assert data["status"] == run.shown_status
    assert data["created_at"] == "2026-01-02T03:04:05.678000Z"
    enveloped = read(poll_body(run, ENVELOPE))
    assert enveloped["data"] == data
    failed = run.status in (RunStatus.FAILED, RunStatus.CANCELLED)
    assert enveloped["status"] == ("error" if failed else "success")


@pytest.mark.parametrize(
    ("run", "cancels"),
    [(QUEUED, True), (RUNNING, True), (CANCELLING, False), (COMPLETED, False), (CANCELLED, False)],
)
def test_a_run_can_be_cancelled_where_its_urls_say_so(run: Run, cancels: bool) -> None:
    for urls in (read(poll_body(run, FLAT))["urls"], read(accepted_body(run, FLAT))["urls"]):
        assert urls["get"] == "/node/flow-runs/r/"
        assert urls["events"] == "/node/flow-runs/r/events/"
        assert urls.get("cancel") == ("/node/flow-runs/r/cancel/" if cancels else None)


def test_a_poll_has_the_labels_of_its_call() -> None:
    assert read(poll_body(QUEUED, FLAT))["metadata"] == {}
    labelled = replace(QUEUED, labels={"order": "42"})
    assert read(poll_body(labelled, FLAT))["metadata"] == {"order": "42"}


def test_a_poll_has_names_and_its_input_where_they_are_shown() -> None:
    names = {COMPLETED.deployment_id: "Iris"}
    details = RunDetails(names=names, shows_input=True, input_data=b'{"x":9007199254740993}')
    body = poll_body(COMPLETED, FLAT, details=details)
    assert body.count(b'"input_data":{"x":9007199254740993}') == 1, "it is not repeated in data"
    flat, enveloped = read(body), read(poll_body(COMPLETED, ENVELOPE, details=details))
    assert (flat["deployment_name"], flat["api_key_name"]) == ("Iris", None)
    assert flat["input_data"] == enveloped["data"]["input_data"] == {"x": 9007199254740993}
    unkept = read(poll_body(COMPLETED, FLAT, details=RunDetails(shows_input=True)))
    assert unkept["input_data"] is None
    assert "deployment_name" not in unkept


def test_a_poll_has_result_error_and_times() -> None:
    done, bad, waiting = (read(poll_body(run, FLAT)) for run in (COMPLETED, FAILED, QUEUED))
    assert (done["output_data"], done["queue_seconds"]) == ({"y": "é"}, 0.5)
    assert (done["error"], bad["output_data"]) == (None, None)
    expected = {"code": "flow_failed", "message": "x is no number", "node_id": "m"}
    assert (bad["error"], bad["message"]) == (expected, "x is no number")
    assert (waiting["queue_seconds"], waiting["node_outputs"]) == (None, {})
    assert waiting["message"] == "Flow execution is queued."


def test_different_bodies_have_different_etags() -> None:
    runs = [QUEUED, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED, replace(RUNNING, attempt=2)]
    tags = {run_etag(run, form) for run in runs for form in (FLAT, ENVELOPE)}
    assert len(tags) == 2 * len(runs)
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)


def test_retry_after_grows_with_the_waiting_time() -> None:
    assert [retry_after(seconds) for seconds in (0, 15, 50, 4000)] == [1, 1, 5, 10]
    assert run_location("r") == "/node/flow-runs/r/"


FAILURES = [
    (FailureCode.FLOW_FAILED, 500, "flow_failed", False),
    (FailureCode.TIMEOUT, 504, "run_timeout", False),
    (FailureCode.WORKER_LOST, 500, "worker_lost", True),
    (FailureCode.QUEUE_TIMEOUT, 503, "queue_timeout", True),
    (FailureCode.INFERENCE_UNAVAILABLE, 503, "inference_server_unavailable", True),
    (FailureCode.NO_ACTIVE_INFERENCE, 409, "no_active_inference", False),
    (FailureCode.STORAGE_QUOTA_EXCEEDED, 507, "storage_quota_exceeded", False),
    (FailureCode.CANCELLED_BY_SHUTDOWN, 503, "shutting_down", True),
    ("inference_failed", 500, "inference_failed", False),  # of a fast call
    ("of next year", 500, "flow_failed", False),
]


@pytest.mark.parametrize(("code", "status", "named", "retryable"), FAILURES)
def test_the_error_of_a_failed_run_has_its_id(
    code: str, status: int, named: str, *, retryable: bool
) -> None:
    run = replace(FAILED, error=RunError(code=code, message="why", node_id="m"))
    answered, headers, body = problem(error_of_run(run), b"req_1")
    told = read(body)
    assert (answered, told["code"], told["retryable"]) == (status, named, retryable)
    assert (told["flow_run_id"], told["node_id"]) == ("r", "m")
    assert told["message"].endswith("why")
    assert (b"retry-after", b"1") in headers or status != 503


@pytest.mark.parametrize("replayed", [True, False])
def test_a_replayed_failure_is_marked(*, replayed: bool) -> None:
    headers = problem(error_of_run(FAILED, replayed=replayed), b"req_1")[1]
    assert ((b"idempotent-replayed", b"true") in headers) == replayed


def test_a_cancelled_run_is_a_conflict() -> None:
    for run in (CANCELLED, replace(CANCELLED, error=None)):
        status, _, body = problem(error_of_run(run), b"req_1")
        assert (status, read(body)["code"], read(body)["flow_run_id"]) == (
            409,
            "run_cancelled",
            "r",
        )


def test_server_timing_is_in_milliseconds() -> None:
    began = replace(FAILED, started_at=FAILED.created_at + timedelta(seconds=0.5))
    assert server_timing(replace(began, duration_seconds=1.25)) == (
        b"queue;dur=500.000, run;dur=1250.000"
    )
    never = replace(FAILED, started_at=None, duration_seconds=None)
    assert server_timing(never) == b""


def test_the_message_names_the_failed_node() -> None:
    assert error_of_run(FAILED).message == "node 'm': x is no number"


def test_every_failure_code_has_an_error_code() -> None:
    assert set(ERROR_CODES) == set(FailureCode)
