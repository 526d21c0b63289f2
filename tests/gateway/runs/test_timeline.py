"""What happened to a run and when, as spans."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import new_id
from gateway.runs.rows import RUNS as RUN_ROWS
from gateway.runs.run import FailureCode, NewRun, RunError, RunResult, RunStatus
from gateway.storage.clock import now
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery
from tests.gateway.runs.builders import failed, finished
from tests.gateway.runs.runs_api import RUNS, RunsApi, RunsApiUser

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Json = dict[str, Any]


def node(status: str = "completed", **members: Any) -> Json:
    """Return an entry of `node_outputs`: Any, its members."""
    return {"name": "N", "type": "transform", "status": status, "duration_seconds": 0.02} | members


def ended(status: RunStatus = RunStatus.COMPLETED, **nodes: Json) -> RunResult:
    """Return the result of a run with these nodes, of which the last has failed if it has."""
    error = RunError(code=FailureCode.FLOW_FAILED, message="no", node_id=[*nodes][-1])
    return RunResult(
        status=status,
        output_data=b"{}" if status is RunStatus.COMPLETED else None,
        node_outputs=orjson.dumps(nodes),
        error=None if status is RunStatus.COMPLETED else error,
        duration_seconds=0.05,
    )


async def timeline(user: RunsApiUser, run_id: str, **query: Any) -> Json:
    """Return a page of the timeline: Any, the parameters."""
    answer = await user.client.get(f"{RUNS}{run_id}/timeline/", params=query)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def finish(api: RunsApi, run: NewRun, result: RunResult) -> None:
    """Claim and finish a run."""
    claim = await api.store.claim(run.id, "w")
    assert claim is not None
    assert await api.store.finish(run.id, claim.attempt, result) is not None


def kinds(body: Json) -> list[str]:
    """Return the kinds of the spans."""
    return [span["kind"] for span in body["spans"]]


def named(body: Json, span_id: str) -> Json:
    """Return a span."""
    found: Json = next(span for span in body["spans"] if span["id"] == span_id)
    return found


MODES = [
    (ExecutionMode.SYNC, DeploymentType.API),
    (ExecutionMode.ASYNC, DeploymentType.API),
    (ExecutionMode.ASYNC, DeploymentType.SERVER),
    (ExecutionMode.SYNC, DeploymentType.SERVER),
]


@pytest.mark.parametrize(("mode", "kind"), MODES)
async def test_a_run_waits_is_claimed_and_its_nodes_follow(
    api: RunsApi, mode: ExecutionMode, kind: DeploymentType
) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), mode=mode, type=kind)
    waiting = await timeline(user, run.id)
    assert [(span["kind"], span["status"]) for span in waiting["spans"]] == [("queue", "queued")]
    later = node(started_seconds=0.03, error={"code": "expression_failed", "message": "no"})
    nodes = {"b": {**later, "status": "failed"}, "a": node(started_seconds=0.01)}
    await finish(api, run, ended(RunStatus.FAILED, **nodes, c=node("skipped")))
    body = await timeline(user, run.id)
    assert kinds(body) == ["queue", "claim", "node", "node", "node", "finish"]
    assert [span["node_id"] for span in body["spans"]][2:5] == ["a", "b", "c"], "by their start"
    claim, first, bad = named(body, "claim"), named(body, "node:a"), named(body, "node:b")
    assert claim["ended_at"] == first["started_at"]
    assert named(body, "queue")["ended_at"] == claim["started_at"]
    assert bad["status"] == "failed"
    assert bad["detail"]["error"] == {
        "code": "expression_failed",
        "message": "no",
        "docs_url": None,
    }
    assert named(body, "node:c")["started_at"] is None
    last = named(body, "finish")
    assert last["detail"]["error"]["docs_url"] == "/problems/flow-failed"
    assert (last["status"], last["ended_at"]) == ("failed", body["finished_at"])
    assert body["notes"] == []


async def test_a_fast_call_is_one_span(api: RunsApi) -> None:
    user = await api.user()
    call = finished(timedelta(seconds=5), failed("inference_failed"), profile_id=user.profile_id)
    await api.store.record_finished([call])
    body = await timeline(user, call.new.id)
    (span,) = body["spans"]
    assert (span["kind"], span["status"]) == ("node", "failed")
    assert span["started_at"] < span["ended_at"]
    assert span["detail"]["error"]["code"] == "inference_failed"


async def test_a_run_of_an_older_version_says_that_start_times_are_unknown(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    await finish(api, run, ended(a=node(), b=node(duration_seconds=0.5)))
    body = await timeline(user, run.id)
    span = named(body, "node:b")
    assert (span["started_at"], span["ended_at"]) == (None, None)
    assert span["detail"]["duration_seconds"] == 0.5
    assert [note["code"] for note in body["notes"]] == ["start_times_unknown"]


async def test_a_running_run_shows_what_was_reported_by_each_attempt(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), retry_safe=True)
    entry = orjson.dumps(node(started_seconds=0.2))
    assert await api.store.claim(run.id, "w", -1.0) is not None
    await api.store.report(run.id, 1, {"a": entry})
    assert run.id in {one.run_id for one in (await api.store.reap()).requeued}
    assert await api.store.claim(run.id, "other") is not None
    await api.store.report(run.id, 2, {"a": entry})
    body = await timeline(user, run.id)
    first, second = (span for span in body["spans"] if span["kind"] == "node")
    assert (second["attempt"], second["started_at"]) == (1, None), "that claim's time is gone"
    assert (first["attempt"], first["id"]) == (2, "node:a")
    assert first["started_at"] is not None
    assert "earlier_attempts_unknown" in {note["code"] for note in body["notes"]}
    lost = await api.store.claim(run.id, "other") is None
    assert lost


async def test_cancellations_have_their_time(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    waiting, running = await user.run(deployment), await user.run(deployment)
    assert (await user.client.post(f"{RUNS}{waiting.id}/cancel/")).status_code == 202
    body = await timeline(user, waiting.id)
    assert kinds(body) == ["queue", "cancel", "finish"]
    assert named(body, "queue")["status"] == "cancelled"
    assert named(body, "cancel")["started_at"] == body["finished_at"]

    assert await api.store.claim(running.id, "w") is not None
    await user.client.post(f"{RUNS}{running.id}/cancel/")
    asked = named(await timeline(user, running.id), "cancel")
    assert (asked["status"], asked["ended_at"]) == ("cancelling", None)
    await user.client.post(f"{RUNS}{running.id}/cancel/")
    assert named(await timeline(user, running.id), "cancel")["started_at"] == asked["started_at"]
    stopped = node("cancelled", started_seconds=0.01)
    await api.store.finish(running.id, 1, ended(RunStatus.CANCELLED, a=stopped))
    body = await timeline(user, running.id)
    assert named(body, "node:a")["status"] == "cancelled"
    assert named(body, "cancel")["ended_at"] == body["finished_at"]

    async with api.db.write() as session:  # as an older version has left it
        await session.execute(sa.update(RUN_ROWS).values(cancel_requested_at=None))
    body = await timeline(user, running.id)
    assert named(body, "cancel")["started_at"] is None
    assert {note["code"] for note in body["notes"]} == {"cancel_time_unknown"}


async def test_the_boot_is_where_the_only_node_that_waited_began(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    model = node(type="inference", started_seconds=0.1, duration_seconds=3.0)
    result = ended(model=model, other=node(type="inference", started_seconds=0.0))
    booted = RunResult(
        status=result.status, node_outputs=result.node_outputs, boot_seconds=2.5, output_data=b"{}"
    )
    await finish(api, run, booted)
    body = await timeline(user, run.id)
    boot = named(body, "boot")
    assert (boot["node_id"], boot["detail"]) == ("model", {"duration_seconds": 2.5})
    assert boot["started_at"] == named(body, "node:model")["started_at"]


async def test_webhook_deliveries_follow_with_their_attempts(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment(
        notification_method="webhook", callback_url="https://8.8.8.8/"
    )
    run = await user.run(deployment)
    await finish(api, run, ended(a=node(started_seconds=0.0)))
    async with api.db.write() as session:
        row = (await session.execute(sa.select(WebhookDelivery))).scalars().one()
        for number, code in enumerate((500, 200), 1):
            session.add(_attempt(row, number, code))
        row.status = "delivered"
    body = await timeline(user, run.id)
    first, second = (span for span in body["spans"] if span["kind"] == "webhook")
    assert (first["status"], first["attempt"]) == ("failed", 1)
    assert first["detail"]["error"]["message"] == "HTTP 500"
    assert (second["status"], second["detail"]["status_code"]) == ("delivered", 200)
    assert second["detail"]["delivery_id"] == row.message_id
    assert kinds(body)[-2:] == ["webhook", "webhook"]
    caller = await user.key_for(deployment)
    seen = (await caller.get(f"{RUNS}{run.id}/timeline/")).json()
    assert "webhook" not in kinds(seen)


def _attempt(row: WebhookDelivery, number: int, code: int) -> WebhookAttempt:
    is_bad = code >= 400
    return WebhookAttempt(
        delivery_id=row.id,
        number=number,
        endpoint_id=row.endpoint_id,
        started_at=now(),
        seconds=0.04,
        result="failed" if is_bad else "delivered",
        url="https://8.8.8.8/",
        request_headers={},
        status_code=code,
        error_code="http_status" if is_bad else None,
        error_message=f"HTTP {code}" if is_bad else None,
    )


async def test_an_event_that_waits_for_its_delivery_is_shown(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment(
        notification_method="webhook", callback_url="https://8.8.8.8/"
    )
    run = await user.run(deployment)
    await finish(api, run, ended(a=node(started_seconds=0.0)))
    span = (await timeline(user, run.id))["spans"][-1]
    assert (span["kind"], span["status"], span["ended_at"]) == ("webhook", "pending", None)
    assert span["detail"]["next_attempt_at"] is not None


async def test_a_retry_has_a_timeline_of_its_own(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), version=1)
    await finish(api, run, ended(RunStatus.FAILED, a=node("failed", started_seconds=0.0)))
    again = (await user.client.post(f"{RUNS}{run.id}/retry/")).json()["flow_run_id"]
    assert kinds(await timeline(user, again)) == ["queue"]
    assert kinds(await timeline(user, run.id)) == ["queue", "claim", "node", "finish"]


async def test_a_lost_worker_leaves_what_it_reported(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    some, none = await user.run(deployment), await user.run(deployment)
    for run in (some, none):
        assert await api.store.claim(run.id, "w", -1.0) is not None
    await api.store.report(some.id, 1, {"a": orjson.dumps(node(started_seconds=0.1))})
    assert set((await api.store.reap()).lost) == {some.id, none.id}
    body = await timeline(user, some.id)
    assert kinds(body) == ["queue", "claim", "node", "finish"]
    assert named(body, "finish")["detail"]["error"]["docs_url"] == "/problems/worker-lost"
    assert [note["code"] for note in (await timeline(user, none.id))["notes"]] == ["nodes_unknown"]


async def test_pages_have_all_spans_once(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    nodes = {f"n{at}": node(started_seconds=at / 1000) for at in range(120)}
    await finish(api, run, ended(**nodes))
    found: list[str] = []
    query: Json = {"limit": 50}
    while True:
        body = await timeline(user, run.id, **query)
        found += [span["id"] for span in body["spans"]]
        if body["next_cursor"] is None:
            break
        query["cursor"] = body["next_cursor"]
    assert len(found) == len(set(found)) == body["total"] == 123
    bad = await user.client.get(f"{RUNS}{run.id}/timeline/", params={"cursor": "node:none"})
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_request")
    many = await user.client.get(f"{RUNS}{run.id}/timeline/", params={"limit": 5001})
    assert many.status_code == 422


async def test_timelines_belong_to_those_who_see_the_run(api: RunsApi) -> None:
    ada, bob = await api.user(), await api.user("bob@example.com")
    mine, other = await ada.deployment(), await ada.deployment()
    run = await ada.run(mine)
    path = f"{RUNS}{run.id}/timeline/"
    assert (await (await ada.key_for(mine)).get(path)).status_code == 200
    assert (await (await ada.key_for(other)).get(path)).status_code == 403
    assert (await bob.client.get(path)).status_code == 404
    assert (await ada.client.get(f"{RUNS}{new_id()}/timeline/")).status_code == 404
