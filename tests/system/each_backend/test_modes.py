"""All six combinations of execution mode and deployment type, on every backend."""

from __future__ import annotations

import pytest

from tests.system.backends import embedded_only
from tests.system.flow_documents import (
    division_flow,
    echo_flow,
    failing_flow,
    transform_flow,
    waiting_flow,
)
from tests.system.installation import Json, chain
from tests.system.runs import MANY_SECONDS, Runs, problem_of
from tests.timing import eventually

KINDS = ("api", "server")
STARTED = "Flow execution started. Use the flow_run_id to check status."
PREDICTED = {"x": [[5.1, 3.5, 1.4, 0.2]]}

kinds = pytest.mark.parametrize("kind", KINDS)


def fields_of(body: Json, response_format: str) -> Json:
    """Return the documented fields of a body in either format."""
    data: Json = body["data"]
    assert "message" not in data
    if response_format == "envelope":
        assert body["status"] == "success"
        assert set(body) == {"status", "message", "data"}
        assert "response_format" not in body["message"]
    else:
        assert {name: body[name] for name in data} == data
        assert set(body) - set(data) == {"data", "message"}
    return data


@kinds
@pytest.mark.parametrize("response_format", ["flat", "envelope"])
def test_sync_answers_200_with_the_whole_result(
    runs: Runs, kind: str, response_format: str
) -> None:
    deployment = runs.deploy(transform_flow(), "sync", kind, response_format=response_format)
    answer = runs.call(deployment, {"x": 21})
    assert answer.status_code == 200, answer.text
    data = fields_of(answer.json(), response_format)
    assert set(data) == {
        *("status", "flow_run_id", "output_data", "node_outputs", "duration_seconds"),
    }
    assert data["status"] == "completed"
    assert data["output_data"] == {"y": 42}
    assert data["duration_seconds"] > 0
    timing = answer.headers["server-timing"]
    assert all(f"{stage};dur=" in timing for stage in ("queue", "run", "total")), timing
    assert answer.headers["x-request-id"]
    assert set(data["node_outputs"]) == {"input", "compute", "output"}
    for node_id, shown in data["node_outputs"].items():
        assert set(shown) >= {"name", "type", "status", "duration_seconds"}, node_id
        assert shown["status"] == "completed"
        assert ("output" in shown) == (node_id == "compute")
    compute = data["node_outputs"]["compute"]
    assert (compute["type"], compute["output"]) == ("transform", {"y": 42})
    run = runs.show(data["flow_run_id"])
    assert run["status"] == "completed"
    assert run["output_data"] == {"y": 42}
    assert run["deployment_id"] == deployment


@kinds
@pytest.mark.parametrize("response_format", ["flat", "envelope"])
def test_async_answers_202_and_the_result_is_polled(
    runs: Runs, kind: str, response_format: str
) -> None:
    deployment = runs.deploy(transform_flow(), "async", kind, response_format=response_format)
    answer = runs.call(deployment, {"x": 21})
    assert answer.status_code == 202, answer.text
    data = fields_of(answer.json(), response_format)
    path = f"/node/flow-runs/{data['flow_run_id']}/"
    urls = {"get": path, "events": f"{path}events/", "cancel": f"{path}cancel/"}
    assert data == {"flow_run_id": data["flow_run_id"], "status": "queued", "urls": urls}
    assert answer.json()["message"] == STARTED
    assert answer.headers["location"] == path
    assert answer.headers["retry-after"] == "1"
    run = runs.until(data["flow_run_id"])
    assert run["status"] == "completed"
    assert run["output_data"] == {"y": 42}
    assert run["error"] is None


@embedded_only
@kinds
@pytest.mark.parametrize("response_format", ["flat", "envelope"])
def test_fast_answers_200_with_the_prediction_and_its_run(
    runs: Runs, kind: str, response_format: str
) -> None:
    settings = {"response_format": response_format, "record_runs": "all"}
    deployment = runs.deploy(chain("iris"), "fast", kind, **settings)
    answer = runs.call(deployment, PREDICTED)
    assert answer.status_code == 200, answer.text
    data = fields_of(answer.json(), response_format)
    assert data["status"] == "completed"
    assert data["fast_mode"] is True
    assert data["output_data"]["label"] == [0]
    assert data["duration_seconds"] > 0
    run = runs.show(data["flow_run_id"])
    assert run["status"] == "completed"
    assert run["deployment_id"] == deployment


@kinds
def test_sync_and_async_call_a_model_as_fast_does(runs: Runs, kind: str) -> None:
    synced = runs.call(runs.deploy(chain("iris"), "sync", kind), PREDICTED)
    assert synced.status_code == 200, synced.text
    run_id = runs.accept(runs.deploy(chain("iris"), "async", kind), PREDICTED)
    fast = runs.call(runs.deploy(chain("iris"), "fast", kind), PREDICTED).json()["output_data"]
    for output in (synced.json()["output_data"], runs.until(run_id)["output_data"]):
        assert output["label"] == fast["label"]
        assert output["probabilities"][0] == pytest.approx(fast["probabilities"][0])


@embedded_only
@kinds
@pytest.mark.parametrize("body", [b"", b"{}", b'{"input_data": {"param2": 1}}'])
def test_the_body_is_optional_and_unknown_inputs_are_ignored(
    runs: Runs, kind: str, body: bytes
) -> None:
    flow = transform_flow("'always'")
    deployment = runs.deploy(flow, "sync", kind)
    answer = runs.installation.trigger(
        deployment, content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["output_data"] == {"y": "always"}


@embedded_only
@pytest.mark.parametrize("mode", ["sync", "async", "fast"])
def test_a_flat_answer_repeats_its_fields_up_to_64_kib(runs: Runs, mode: str) -> None:
    deployment = runs.deploy(chain("iris"), mode, "server")
    for rows, repeats in ((2, True), (8_000, False)):
        input_data = {"x": [[row, 3.5, 1.4, 0.2] for row in range(rows)]}
        body = runs.call(deployment, input_data).json()
        if mode == "async":
            body = runs.until(body["flow_run_id"])
        assert len(body["output_data"]["label"]) == rows
        assert ("data" in body) == repeats
        assert ("response_format=envelope" in body["message"]) != repeats
        enveloped = runs.call(deployment, input_data, response_format="envelope").json()
        assert enveloped["data"]["status"] == ("queued" if mode == "async" else "completed")


@embedded_only
@kinds
def test_an_answer_is_not_much_larger_than_its_input(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(echo_flow(), "sync", kind)
    text = "a" * 600_000
    answer = runs.call(deployment, {"param1": text})
    assert answer.json()["output_data"] == {"param1": text}
    assert len(answer.content) < 1.02 * len(text)


@embedded_only
def test_a_caller_may_request_the_envelope(runs: Runs) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server")
    answer = runs.call(deployment, {"param1": "value1"}, response_format="envelope")
    assert answer.json()["status"] == "success"
    assert answer.json()["data"]["output_data"] == {"param1": "value1"}


@embedded_only
@pytest.mark.parametrize("mode", ["sync", "async", "fast"])
def test_an_answer_says_which_format_it_has_and_what_has_decided_that(
    runs: Runs, mode: str
) -> None:
    by_caller = runs.deploy(chain("iris"), mode, "server")
    set_flat = runs.deploy(chain("iris"), mode, "server", response_format="flat")
    fetch = {"Sec-Fetch-Mode": "cors"}
    for deployment, headers, query, expected in (
        (by_caller, {}, {}, "flat; by=caller"),
        (by_caller, fetch, {}, "envelope; by=caller"),
        (set_flat, fetch, {}, "flat; by=deployment"),
        (set_flat, fetch, {"response_format": "envelope"}, "envelope; by=parameter"),
        (set_flat, fetch, {"response_format": "auto"}, "envelope; by=caller"),
    ):
        answer = runs.call(deployment, PREDICTED, headers, **query)
        assert answer.headers["response-format"] == expected, (headers, query)
        form = "envelope" if answer.json()["status"] == "success" else "flat"
        assert expected.startswith(form)
    refused = runs.call(by_caller, {})
    assert refused.status_code == 422
    assert "response-format" not in refused.headers


@kinds
def test_a_flow_that_fails_is_500_and_names_the_node(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(failing_flow(), "sync", kind)
    problem = problem_of(runs.call(deployment, {"x": 0}), 500, "flow_failed")
    assert problem["node_id"] == "compute"
    assert "compute" in problem["message"]
    assert problem["retryable"] is False
    run = runs.show(problem["flow_run_id"])
    assert run["status"] == "failed"
    assert run["output_data"] is None
    assert run["error"]["code"] == "flow_failed"
    assert run["error"]["node_id"] == "compute"
    assert run["node_outputs"]["compute"]["status"] == "failed"


@kinds
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_input_that_an_expression_cannot_compute_with_is_the_callers(
    runs: Runs, kind: str, mode: str
) -> None:
    deployment = runs.deploy(division_flow(), mode, kind)
    if mode == "sync":
        problem = problem_of(runs.call(deployment, {"x": 0}), 422, "invalid_input")
        assert (problem["node_id"], problem["retryable"]) == ("compute", False)
        assert "'10 / input.x': division by zero" in problem["message"]
        run_id = problem["flow_run_id"]
    else:
        run_id = runs.accept(deployment, {"x": 0})
    run = runs.until(run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "invalid_input")
    assert "'10 / input.x': division by zero" in run["error"]["message"]


@kinds
def test_a_run_over_its_timeout_is_504_with_its_id_and_is_stopped(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(MANY_SECONDS), "sync", kind, timeout_seconds=1)
    problem = problem_of(runs.call(deployment, {"x": 1}), 504, "run_timeout")
    run = runs.until(problem["flow_run_id"])
    assert run["status"] == "failed"
    assert run["error"]["code"] == "timeout"


@embedded_only
@kinds
def test_prefer_respond_async_makes_a_sync_call_answer_202(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(transform_flow(), "sync", kind)
    answer = runs.call(deployment, {"x": 1}, {"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    assert "prefer" in answer.headers["vary"].lower()
    assert runs.until(answer.json()["flow_run_id"])["output_data"] == {"y": 2}


@kinds
def test_prefer_wait_answers_200_in_time_and_202_after_it(runs: Runs, kind: str) -> None:
    slow = runs.deploy(waiting_flow(MANY_SECONDS), "sync", kind)
    answer = runs.call(slow, {"x": 1}, {"Prefer": "wait=1"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["location"].endswith(f"/{answer.json()['flow_run_id']}/")
    assert runs.cancel(answer.json()["flow_run_id"]).status_code == 202
    quick = runs.deploy(transform_flow(), "sync", kind)
    assert runs.call(quick, {"x": 1}, {"Prefer": "wait=30"}).status_code == 200


@kinds
def test_runs_that_only_wait_delay_no_other_run(runs: Runs, kind: str) -> None:
    slow = runs.deploy(waiting_flow(MANY_SECONDS), "async", kind)
    waiting = [runs.accept(slow, {"x": 1}) for _ in range(40)]
    for run_id in waiting:
        runs.until(run_id, "running")
    quick = runs.accept(runs.deploy(transform_flow(), "async", kind), {"x": 1})
    assert runs.until(quick)["status"] == "completed"
    for run_id in waiting:
        assert runs.cancel(run_id).status_code == 202


@kinds
@pytest.mark.parametrize("mode", ["sync", "async", "fast"])
def test_a_paused_deployment_answers_409_and_a_deleted_one_410(
    runs: Runs, kind: str, mode: str
) -> None:
    deployment = runs.deploy(chain("iris"), mode, kind)
    path = f"/node/deployments/{deployment}"
    assert runs.http.post(f"{path}/pause/").is_success
    paused = eventually(
        lambda: runs.call(deployment, PREDICTED), lambda answer: answer.status_code == 409
    )
    problem_of(paused, 409, "deployment_paused")
    assert runs.http.post(f"{path}/resume/").is_success
    eventually(lambda: runs.call(deployment, PREDICTED), lambda answer: answer.is_success)
    assert runs.http.delete(f"{path}/").is_success
    deleted = eventually(
        lambda: runs.call(deployment, PREDICTED), lambda answer: not answer.is_success
    )
    problem_of(deleted, 410, "gone")


@kinds
def test_a_version_can_be_called_by_its_number(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(transform_flow("'first'"), "sync", kind)
    answer = runs.http.put(
        f"/node/flows/{runs.flow_of(deployment)}/", json=transform_flow("'second'")
    )
    assert answer.is_success, answer.text
    assert runs.http.post(f"/node/deployments/{deployment}/redeploy/").is_success
    eventually(
        lambda: runs.call(deployment, {}).json()["output_data"],
        lambda found: found["y"] == "second",
    )
    first = runs.call(deployment, {}, version=1)
    assert first.status_code == 200, first.text
    assert first.json()["output_data"] == {"y": "first"}
    assert runs.show(first.json()["flow_run_id"])["deployment_version"] == 1
    second = runs.call(deployment, {}, version=2).json()
    assert runs.show(second["flow_run_id"])["deployment_version"] == 2
    missing = runs.call(deployment, {}, version=7)
    assert missing.status_code == 404
    assert "7" in missing.json()["message"]


@embedded_only
@kinds
def test_input_that_violates_the_schema_is_422_and_creates_no_run(runs: Runs, kind: str) -> None:
    flow = transform_flow()
    flow["nodes"][0]["config"] = {
        "schema": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
        }
    }
    deployment = runs.deploy(flow, "sync", kind)
    problem = problem_of(runs.call(deployment, {"x": "two"}), 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == "#/input_data/x"
    assert runs.list_all(deployment=deployment) == []
