"""An accepted run is polled, streamed, cancelled, retried and listed."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.system.backends import embedded_only
from tests.system.flow_documents import division_flow, transform_flow, waiting_flow
from tests.system.runs import MANY_SECONDS, Runs, problem_of
from tests.timing import Timer

kinds = pytest.mark.parametrize("kind", ["api", "server"])

POLLED = {
    *("flow_run_id", "deployment_id", "deployment_version", "status", "output_data"),
    *("node_outputs", "error", "duration_seconds", "queue_seconds"),
    *("created_at", "started_at", "finished_at"),
}
NOWHERE = "00000000-0000-4000-8000-000000000000"


@kinds
def test_a_poll_shows_everything_about_a_run(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(transform_flow(), "async", kind)
    run = runs.until(runs.accept(deployment, {"x": 2}))
    assert set(run) >= POLLED
    assert run["deployment_id"] == deployment
    assert run["deployment_version"] == 1
    assert run["data"]["output_data"] == run["output_data"] == {"y": 4}
    assert run["duration_seconds"] > 0
    assert run["queue_seconds"] >= 0
    created, started, finished = (
        datetime.fromisoformat(run[f"{what}_at"]) for what in ("created", "started", "finished")
    )
    assert created.tzinfo
    assert started <= finished


@embedded_only
@kinds
def test_an_unfinished_run_has_retry_after(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(MANY_SECONDS), "async", kind), {"x": 1})
    runs.until(run_id, "running")
    answer = runs.poll(run_id)
    assert int(answer.headers["retry-after"]) >= 1
    run = answer.json()
    assert run["message"]
    assert (run["output_data"], run["error"], run["finished_at"]) == (None, None, None)
    assert runs.cancel(run_id).status_code == 202


@embedded_only
@kinds
def test_a_finished_run_has_an_etag_and_304_has_no_body(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(transform_flow(), "async", kind), {"x": 1})
    runs.until(run_id)
    first = runs.poll(run_id)
    assert "retry-after" not in first.headers
    again = runs.poll(run_id, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = runs.poll(run_id, headers={"If-None-Match": '"other"'})
    assert other.json() == first.json()


@kinds
@pytest.mark.parametrize(
    "how", [{"params": {"wait": "30"}}, {"headers": {"Prefer": "wait=30"}}], ids=["query", "prefer"]
)
def test_a_long_poll_answers_when_the_run_ends(
    runs: Runs, kind: str, how: dict[str, dict[str, str]]
) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(1), "async", kind), {"x": 1})
    answer = runs.poll(run_id, **how)
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"


@kinds
def test_a_long_poll_that_times_out_returns_the_current_run(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(MANY_SECONDS), "async", kind), {"x": 1})
    answer = runs.poll(run_id, params={"wait": "1"})
    assert answer.status_code == 200
    assert answer.json()["status"] in {"queued", "running"}
    assert runs.cancel(run_id).status_code == 202


@kinds
def test_events_cover_each_node_and_end_with_the_run(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(1), "async", kind), {"x": 1})
    events = runs.events(run_id)
    last = events[-1]
    assert (last.name, last.data["status"]) == ("completed", "completed")
    assert last.data["output_data"] == {"x": 1}
    nodes = [event.data["node_id"] for event in events if event.name == "node"]
    assert nodes == ["input", "pause", "output"]
    assert {event.data["status"] for event in events if event.name == "status"} >= {"running"}


@kinds
def test_node_events_arrive_while_the_run_is_in_progress(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(MANY_SECONDS), "async", kind), {"x": 1})
    with runs.stream(run_id) as events:
        node = next(event for event in events if event.name == "node")
        assert runs.show(run_id)["status"] == "running"
    assert (node.id, node.data["node_id"]) == ("1", "input")
    assert node.data["node"]["status"] == "completed"
    assert "output" not in node.data["node"]  # the caller has it
    with runs.stream(run_id, **{"Last-Event-ID": node.id}) as events:
        assert next(events).name == "status"
        runs.cancel(run_id)
        rest = [event for event in events if event.id]
    assert [event.data.get("node_id") for event in rest] == ["pause", "output", None]
    assert rest[-1].name == "cancelled"


@kinds
def test_an_event_stream_resumes_after_a_disconnect(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(1), "async", kind), {"x": 1})
    with runs.stream(run_id) as events:
        first = next(event for event in events if event.id)
    rest = [event for event in runs.events(run_id, **{"Last-Event-ID": first.id}) if event.id]
    whole = [event for event in runs.events(run_id) if event.id]
    assert whole == [first, *rest]
    assert rest[-1].data["status"] == "completed"


@kinds
def test_cancelling_stops_a_run(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(waiting_flow(MANY_SECONDS), "async", kind), {"x": 1})
    runs.until(run_id, "running")
    timer = Timer()
    assert runs.cancel(run_id).status_code == 202
    run = runs.until(run_id)
    assert timer.seconds < 5
    assert run["status"] == "cancelled"
    assert run["output_data"] is None
    assert "output" not in run["node_outputs"] or (
        run["node_outputs"]["output"]["status"] != "completed"
    )
    assert runs.cancel(run_id).status_code == 202  # a second time changes nothing
    assert runs.show(run_id) == run


@kinds
def test_a_sync_caller_is_told_that_its_run_was_cancelled(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(MANY_SECONDS), "sync", kind)
    accepted = runs.call(deployment, {"x": 1}, {"Prefer": "wait=1", "Idempotency-Key": "stop-me"})
    run_id = accepted.json()["flow_run_id"]
    assert runs.cancel(run_id).status_code == 202
    runs.until(run_id, "cancelled")
    # The same key returns the same run with its result.
    problem = problem_of(
        runs.call(deployment, {"x": 1}, {"Idempotency-Key": "stop-me"}), 409, "run_cancelled"
    )
    assert problem["flow_run_id"] == run_id


@kinds
def test_cancel_on_disconnect_stops_the_run_of_a_disconnected_caller(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(MANY_SECONDS), "sync", kind, cancel_on_disconnect=True)
    runs.call_and_disconnect(deployment, {})
    (left,) = runs.list_all(deployment=deployment)
    assert runs.until(left["flow_run_id"])["status"] == "cancelled"


@kinds
@pytest.mark.parametrize("cancels", [True, False])
def test_a_run_with_a_key_or_without_cancel_on_disconnect_survives_a_disconnect(
    runs: Runs, kind: str, *, cancels: bool
) -> None:
    deployment = runs.deploy(waiting_flow(1), "sync", kind, cancel_on_disconnect=cancels)
    runs.call_and_disconnect(deployment, {"Idempotency-Key": "again"} if cancels else {})
    (left,) = runs.list_all(deployment=deployment)
    assert runs.until(left["flow_run_id"])["status"] == "completed"


@embedded_only
@kinds
def test_a_finished_run_cannot_be_cancelled(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(transform_flow(), "async", kind), {"x": 1})
    runs.until(run_id)
    problem_of(runs.cancel(run_id), 409, "run_finished")


@kinds
@pytest.mark.parametrize(("then", "status"), [("finish", "completed"), ("cancel", "cancelled")])
def test_runs_in_progress_finish_or_are_cancelled_with_their_deployment(
    runs: Runs, kind: str, then: str, status: str
) -> None:
    deployment = runs.deploy(waiting_flow(1 if then == "finish" else 3), "async", kind)
    run_id = runs.accept(deployment, {"x": 1})
    runs.until(run_id, "running")
    answer = runs.http.delete(f"/node/deployments/{deployment}/", params={"runs": then})
    assert answer.status_code == 204
    assert runs.until(run_id)["status"] == status
    problem_of(runs.call(deployment, {"x": 1}), 410, "gone")


@kinds
def test_a_failed_run_can_be_retried_as_a_new_run(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(division_flow(), "async", kind), {"x": 0})
    failed = runs.until(run_id)
    assert failed["status"] == "failed"
    answer = runs.retry(run_id)
    assert answer.status_code == 202, answer.text
    again_id = answer.json()["flow_run_id"]
    assert again_id != run_id
    assert answer.headers["location"] == f"/node/flow-runs/{again_id}/"
    again = runs.until(again_id)
    assert again["error"]["node_id"] == failed["error"]["node_id"] == "compute"
    assert runs.show(run_id) == failed


@embedded_only
@kinds
def test_a_completed_run_cannot_be_retried(runs: Runs, kind: str) -> None:
    run_id = runs.accept(runs.deploy(transform_flow(), "async", kind), {"x": 1})
    runs.until(run_id)
    assert runs.retry(run_id).status_code == 409


@kinds
def test_the_list_has_filters_and_pages(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(division_flow(), "async", kind)
    made = [runs.accept(deployment, {"x": x}) for x in (1, 2, 0, 5)]
    ended = [runs.until(run_id) for run_id in made]
    statuses = [run["status"] for run in ended]
    assert statuses == ["completed", "completed", "failed", "completed"]
    listed = runs.list_all(deployment=deployment, limit=3)
    assert [run["flow_run_id"] for run in listed] == made[::-1]
    failed = runs.list_all(deployment=deployment, status="failed")
    assert [run["flow_run_id"] for run in failed] == [made[2]]
    assert runs.list_all(deployment=deployment, version=2) == []
    assert len(runs.list_all(deployment=deployment, version=1)) == 4
    since = ended[2]["created_at"]
    later = runs.list_all(**{"deployment": deployment, "from": since})
    assert {run["flow_run_id"] for run in later} == set(made[2:])
    earlier = runs.list_all(deployment=deployment, to=since)
    assert set(made[:2]) <= {run["flow_run_id"] for run in earlier} <= set(made[:3])


@embedded_only
def test_an_unknown_run_is_404(runs: Runs) -> None:
    for answer in (runs.poll(NOWHERE), runs.cancel(NOWHERE), runs.retry(NOWHERE)):
        problem_of(answer, 404, "not_found")


@embedded_only
@kinds
def test_an_endless_expression_ends_at_its_deadline_and_delays_no_other_run(
    runs: Runs, kind: str
) -> None:
    flow = transform_flow("round(input.x, input.d)")
    deployment = runs.deploy(flow, "async", kind, timeout_seconds=1)
    timer = Timer()
    endless = [runs.accept(deployment, {"x": 3, "d": -100_000_000}) for _ in range(2)]
    seconds = []
    for run_id in endless:
        run = runs.until(run_id)
        assert (run["status"], run["error"]["code"]) == ("failed", "timeout")
        seconds.append(run["duration_seconds"])
    excused = timer.elapsed - timer.seconds
    assert max(seconds) < 2 + excused, "the deadline and a second"
    run = runs.until(runs.accept(deployment, {"x": 1.26, "d": 1}))
    assert run["output_data"] == {"y": 1.3}
