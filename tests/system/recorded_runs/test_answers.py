"""An answer of mode fast contains a `flow_run_id` only if that run can be read."""

from __future__ import annotations

import pytest

from tests.system.recorded_runs.conftest import BAD, GOOD, Recording
from tests.system.runs import problem_of
from tests.timing import eventually


def test_by_default_a_good_answer_has_no_id_and_the_call_is_among_the_runs_soon(
    recording: Recording,
) -> None:
    deployment = recording.deploy()
    answer = recording.runs.call(deployment, GOOD)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert "flow_run_id" not in body
    assert "flow_run_id" not in body["data"]
    (run,) = eventually(lambda: recording.runs.list_all(deployment=deployment), bool)
    assert (run["status"], run["execution_mode"]) == ("completed", "fast")


def test_by_default_a_failed_call_is_answered_with_the_id_of_its_run(recording: Recording) -> None:
    deployment = recording.deploy()
    problem = problem_of(recording.runs.call(deployment, BAD), 422, "input_rejected")
    assert problem["instance"] == f"/node/flow-runs/{problem['flow_run_id']}/"
    run = recording.runs.show(problem["flow_run_id"])
    assert (run["status"], run["error"]["code"]) == ("failed", "input_rejected")


@pytest.mark.long
def test_the_sample_is_bounded_and_the_rest_is_counted(recording: Recording) -> None:
    deployment = recording.deploy()
    before = recording.metric("sample_rate")
    calls = recording.call_many(deployment, 300)
    assert (calls.statuses, calls.run_ids) == ({200: 300}, [])
    unrecorded = eventually(lambda: recording.metric("sample_rate") - before, bool)
    assert 230 <= unrecorded <= 240
    eventually(lambda: len(recording.ids_of(deployment)), lambda n: n == 300 - unrecorded)


@pytest.mark.long
def test_failures_beyond_their_rate_have_no_id_and_are_counted_and_reported(
    recording: Recording,
) -> None:
    deployment = recording.deploy(record_runs="errors")
    before = recording.metric("failure_rate")
    calls = recording.call_many(deployment, 800, BAD)
    assert calls.statuses == {422: 800}
    assert 600 <= len(calls.run_ids) < 800
    assert recording.metric("failure_rate") - before == 800 - len(calls.run_ids)
    assert recording.missing(calls, deployment) == []
    readiness = recording.installation.http.get("/readyz").json()
    assert readiness["ready"] is True
    (degraded,) = readiness["degraded"]
    assert degraded.startswith("runs: ")
    assert "failure_rate" in degraded


@pytest.mark.parametrize("response_format", ["flat", "envelope"])
def test_with_record_runs_all_every_answer_has_an_id_that_can_be_read(
    recording: Recording, response_format: str
) -> None:
    deployment = recording.deploy(record_runs="all", response_format=response_format)
    for input_data, status in ((GOOD, "completed"), (BAD, "failed")):
        answer = recording.runs.call(deployment, input_data)
        body = answer.json()
        found = body.get("data", body)
        run = recording.runs.show(found["flow_run_id"])
        assert (run["status"], run["output_data"]) == (status, None)
        if status == "completed":
            assert found["duration_seconds"] == pytest.approx(run["duration_seconds"], abs=1e-6)
            assert "write;dur=" in answer.headers["server-timing"]


@pytest.mark.long
def test_with_record_runs_all_no_call_of_thousands_is_missing(recording: Recording) -> None:
    deployment = recording.deploy(record_runs="all")
    calls = recording.call_many(deployment, 2_000)
    assert (calls.statuses, len(calls.run_ids)) == ({200: 2_000}, 2_000)
    assert recording.missing(calls, deployment) == []


def test_each_item_of_a_batch_has_its_run(recording: Recording) -> None:
    deployment = recording.deploy(record_runs="all")
    body = {"input_data": [GOOD, BAD, GOOD]}
    results = recording.installation.post(f"/node/deployment-trigger/{deployment}/batch/", body)
    ids = [result["flow_run_id"] for result in results["results"]]
    statuses = [recording.runs.show(run_id)["status"] for run_id in ids]
    assert statuses == ["completed", "failed", "completed"]


def test_a_call_refused_before_its_inference_has_no_run(recording: Recording) -> None:
    deployment = recording.deploy(record_runs="all")
    problem = problem_of(recording.runs.call(deployment, {"index": "x"}), 422, "invalid_tensor")
    assert "flow_run_id" not in problem
    assert recording.runs.list_all(deployment=deployment) == []
