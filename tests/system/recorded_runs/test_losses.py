"""What was answered with a run's id is there after a kill; without the database there is no id."""

from __future__ import annotations

import pytest

from tests.system.recorded_runs.conftest import BAD, GOOD, Recording
from tests.system.runs import problem_of
from tests.timing import eventually


def test_every_id_that_was_answered_can_be_read_after_a_kill(recording: Recording) -> None:
    deployment = recording.deploy(record_runs="all")
    calls = recording.call_until_killed(deployment, 200)
    assert len(calls.run_ids) >= 200
    assert recording.missing(calls, deployment) == []


@pytest.mark.long
def test_every_answered_call_with_a_webhook_has_its_event_after_a_kill(
    recording: Recording,
) -> None:
    # Port 9 refuses connections: the events stay.
    deployment = recording.deploy(
        notification_method="webhook", callback_url="http://127.0.0.1:9/hook"
    )
    calls = recording.call_until_killed(deployment, 200)
    events: set[str] = set()
    cursor = None
    while True:
        query = {"deployment": deployment, "limit": 200, **({"cursor": cursor} if cursor else {})}
        page = recording.installation.http.get("/node/webhooks/deliveries/", params=query).json()
        events |= {delivery["flow_run_id"] for delivery in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert set(calls.run_ids) <= events
    assert recording.runs.show(calls.run_ids[-1])["output_data"] == {"y": [10.0, 30.0]}


@pytest.mark.long
def test_without_the_database_no_id_is_given_and_failures_are_written_later(
    recording: Recording,
) -> None:
    sampled, durable = recording.deploy(), recording.deploy()
    recording.change(durable, record_runs="all")  # later, the gateway has heard of both
    eventually(lambda: recording.runs.call(durable, GOOD).json(), lambda it: "flow_run_id" in it)
    assert recording.runs.call(sampled, GOOD).status_code == 200
    with recording.away():
        good = recording.runs.call(sampled, GOOD)
        assert (good.status_code, "flow_run_id" in good.json()) == (200, False)
        failed = problem_of(recording.runs.call(sampled, BAD), 422, "input_rejected")
        assert "flow_run_id" not in failed
        refused = recording.runs.call(durable, GOOD)
        problem = problem_of(refused, 503, "database_unavailable")
        assert "flow_run_id" not in problem
        assert int(refused.headers["retry-after"]) >= 1
    recording.until_ready()
    eventually(lambda: recording.ids_of(sampled, status="failed"), bool)
    calls = recording.call_many(durable, 1)
    assert recording.missing(calls, durable) == []
