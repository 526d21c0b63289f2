"""Every way in which a run begins or ends writes its event in the same transaction."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.deployments.settings import ExecutionMode
from gateway.runs.run import Idempotency, RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.tables import Deployment
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from gateway.webhooks.outbox import Outbox, message_id_of
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.runs.builders import COMPLETED, failed, finished
from tests.gateway.webhooks.post import Json, Post

ALL = ["run.started", "run.completed", "run.failed"]


async def told(post: Post, run_id: str) -> list[tuple[str, str | None]]:
    """Return the events of a run, the first one first, with the error's code."""
    found = await post.deliveries(run=run_id)
    events = []
    for delivery in reversed(found):
        shown = (await post.user.get(f"/node/webhooks/deliveries/{delivery['id']}/")).json()
        error = shown["payload"]["data"].get("error")
        events.append((delivery["event"], error and error["code"]))
    return sorted(events, key=lambda event: ALL.index(event[0]))


async def count(post: Post) -> int:
    async with post.db.read() as session:
        return (await session.execute(select(func.count(WebhookDelivery.id)))).scalar_one()


async def test_a_run_that_begins_and_ends_is_told_twice_where_both_are_wanted(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=ALL)
    run_id = await quiet.finish(made)
    assert await told(quiet, run_id) == [("run.started", None), ("run.completed", None)]


async def test_by_default_only_the_end_is_told(quiet: Post) -> None:
    made = await quiet.deploy()
    assert await told(quiet, await quiet.finish(made)) == [("run.completed", None)]
    bad = await quiet.finish(made, failed())
    assert await told(quiet, bad) == [("run.failed", "flow_failed")]


async def test_only_what_is_subscribed_to_is_told(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=["run.failed"])
    await quiet.finish(made)
    assert await count(quiet) == 0


async def test_a_run_that_begins_where_it_was_made_is_told(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=ALL)
    new = quiet.new_run(made, mode=ExecutionMode.SYNC)
    await quiet.runs.create(new, owner="gateway")
    keyed = quiet.new_run(made, idempotency=Idempotency(key="k", fingerprint="f" * 64))
    await quiet.runs.create(keyed, owner="gateway")
    await quiet.runs.create(
        quiet.new_run(made, idempotency=Idempotency(key="k", fingerprint="f" * 64)), owner="gateway"
    )
    assert await told(quiet, new.id) == [("run.started", None)]
    assert await told(quiet, keyed.id) == [("run.started", None)]
    assert await count(quiet) == 2


async def test_a_run_that_begins_again_is_told_once(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=ALL)
    claim = await quiet.begin(made, retry_safe=True)
    await asyncio.sleep(0.02)
    await quiet.runs.renew_leases([(claim.run_id, 1)], lease_seconds=-5.0)
    assert len((await quiet.runs.reap()).requeued) == 1
    assert await quiet.runs.claim(claim.run_id, "another")
    assert await told(quiet, claim.run_id) == [("run.started", None)]


async def test_a_cancelled_run_is_told_as_failed(quiet: Post) -> None:
    made = await quiet.deploy()
    new = quiet.new_run(made)
    await quiet.runs.create(new)
    await quiet.runs.request_cancel(new.id)
    assert await told(quiet, new.id) == [("run.failed", "cancelled")]
    running = await quiet.begin(made)
    await quiet.runs.request_cancel(running.run_id)
    assert await told(quiet, running.run_id) == []
    await quiet.runs.finish(running.run_id, 1, RunResult(status=RunStatus.CANCELLED))
    assert await told(quiet, running.run_id) == [("run.failed", "cancelled")]


async def test_a_run_that_takes_too_long_is_told_as_failed(quiet: Post) -> None:
    claim = await quiet.begin(await quiet.deploy())
    await quiet.runs.time_out(claim.run_id, 1.0)
    assert await told(quiet, claim.run_id) == [("run.failed", "timeout")]
    assert not await quiet.runs.finish(claim.run_id, 1, COMPLETED)
    assert await count(quiet) == 1


async def test_a_run_whose_worker_is_lost_is_told_as_failed(quiet: Post) -> None:
    claim = await quiet.begin(await quiet.deploy())
    await quiet.runs.renew_leases([(claim.run_id, 1)], lease_seconds=-5.0)
    assert (await quiet.runs.reap()).lost == (claim.run_id,)
    assert await told(quiet, claim.run_id) == [("run.failed", "worker_lost")]


async def test_a_run_that_nobody_has_begun_with_is_told_as_failed(quiet: Post) -> None:
    made = await quiet.deploy()
    new = quiet.new_run(made, queue_timeout_seconds=-1.0)
    await quiet.runs.create(new)
    assert await quiet.runs.expire_queued() == [new.id]
    assert await told(quiet, new.id) == [("run.failed", "queue_timeout")]


async def test_fast_calls_are_told_when_they_are_written_down(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=ALL)
    fields = {"profile_id": quiet.user.headers["x-test-profile"], "deployment_id": made["id"]}
    good, bad = finished(**fields), finished(ending=failed("inference_failed"), **fields)
    other = finished()
    for _ in range(2):  # a second time changes nothing
        await quiet.runs.record_finished([good, bad, other])
    assert await told(quiet, good.new.id) == [("run.started", None), ("run.completed", None)]
    assert await told(quiet, bad.new.id) == [
        ("run.started", None),
        ("run.failed", "inference_failed"),
    ]
    assert await count(quiet) == 4


class _Broken(Outbox):
    """An outbox that cannot write."""

    async def ended(self, session: Any, runs: Any) -> None:
        await super().ended(session, runs)
        raise RuntimeError("no")


async def test_a_run_and_its_event_are_written_both_or_neither(quiet: Post) -> None:
    made = await quiet.deploy()
    claim = await quiet.begin(made)
    broken = RunStore(quiet.db, outbox=_Broken(quiet.in_process_gateway.feed, public_url=""))
    with pytest.raises(RuntimeError):
        await broken.finish(claim.run_id, claim.attempt, COMPLETED)
    run = await quiet.runs.get(claim.run_id)
    assert run is not None
    assert not run.ended
    assert await count(quiet) == 0


async def test_a_deployment_without_a_webhook_costs_no_query(quiet: Post) -> None:
    made = await deploy(quiet.user, flow_json())
    await quiet.finish(made)
    with statements(quiet.db) as asked:
        await quiet.finish(made)
    assert not [text for text in asked if "webhook" in text]


async def test_a_webhook_that_comes_later_is_heard_of_by_the_feed(quiet: Post) -> None:
    made = await deploy(quiet.user, flow_json())
    await quiet.finish(made)
    assert await count(quiet) == 0
    url = quiet.receiver.url("ok")
    changed = await quiet.change(made, notification_method="webhook", callback_url=url)
    assert changed["webhook_secret"].startswith("whsec_")
    await quiet.finish(made)
    assert await count(quiet) == 1


async def test_a_webhook_that_goes_is_told_nothing_more(quiet: Post) -> None:
    made = await quiet.deploy()
    run_id = await quiet.finish(made)
    await quiet.change(made, notification_method="none")
    assert (await quiet.delivery(run_id))["status"] == "cancelled"
    await quiet.finish(made)
    assert await count(quiet) == 1
    again = await quiet.change(made, notification_method="webhook")
    assert again["webhook_secret"] is None  # it has kept the one that it had


async def test_what_a_disabled_endpoint_misses_is_held(quiet: Post) -> None:
    made = await quiet.deploy()
    before = await quiet.finish(made)
    await quiet.patch(made, state="disabled")
    after = await quiet.finish(made)
    for run_id in (before, after):
        assert (await quiet.delivery(run_id))["status"] == "held"


async def test_an_output_without_end_comes_without_it(quiet: Post) -> None:
    large = RunResult(status=RunStatus.COMPLETED, output_data=b'{"x":"' + b"x" * 300_000 + b'"}')
    run_id = await quiet.finish(await quiet.deploy(), large)
    data = (await quiet.delivery(run_id))["payload"]["data"]
    assert (data["output_data"], data["output_truncated"]) == (None, True)


async def test_a_deployment_that_wants_no_node_outputs_gets_none(quiet: Post) -> None:
    run_id = await quiet.finish(await quiet.deploy(include_node_outputs=False))
    assert (await quiet.delivery(run_id))["payload"]["data"]["node_outputs"] == {}


def test_the_id_of_a_message_is_26_digits_and_the_same_for_the_same_event() -> None:
    made = message_id_of("endpoint", "run", "run.completed")
    assert made == message_id_of("endpoint", "run", "run.completed")
    assert made != message_id_of("endpoint", "run", "run.failed")
    assert made.startswith("msg_")
    assert len(made) == 30
    assert made[4:].isalnum()


async def test_deliveries_go_when_runs_go_but_for_those_that_are_still_tried(quiet: Post) -> None:
    made = await quiet.deploy()
    waiting = await quiet.finish(made)
    held = await quiet.deploy()
    await quiet.patch(held, state="disabled")
    await quiet.finish(held)
    assert await quiet.station.store.prune(now() + timedelta(seconds=1)) == 1
    assert await quiet.station.store.prune(now() + timedelta(seconds=1)) == 0
    assert (await quiet.delivery(waiting))["status"] == "pending"
    assert await count(quiet) == 1


async def test_the_age_of_the_oldest_event_is_known(quiet: Post) -> None:
    assert await quiet.station.store.oldest_pending_seconds() == 0.0
    await quiet.finish(await quiet.deploy())
    await asyncio.sleep(0.05)
    assert 0.0 < await quiet.station.store.oldest_pending_seconds() < 30.0


async def test_a_deleted_deployment_keeps_no_secret_and_is_told_nothing(quiet: Post) -> None:
    made: Json = await quiet.deploy()
    run_id = await quiet.finish(made)
    assert (await quiet.user.delete(f"/node/deployments/{made['id']}/")).status_code == 204
    await quiet.in_process_gateway.feed.poll()
    assert (await quiet.delivery(run_id))["status"] == "cancelled"
    await quiet.finish(made)
    assert await count(quiet) == 1
    async with quiet.db.read() as session:
        assert (await session.get(Deployment, made["id"])) is not None
    assert (await quiet.user.get("/node/webhooks/endpoints/")).json()["items"] == []


async def test_a_deleted_user_keeps_no_secret_and_is_told_nothing(quiet: Post) -> None:
    made: Json = await quiet.deploy()
    await quiet.finish(made)
    engine = quiet.in_process_gateway._container.engine
    profile = quiet.user.headers["x-test-profile"]
    await quiet.in_process_gateway.services.users.delete(profile, engine.cleanup, by=None)
    await quiet.in_process_gateway.feed.poll()
    await quiet.finish(made)
    async with quiet.db.read() as session:
        statuses = (await session.execute(select(WebhookDelivery.status))).scalars().all()
        endpoints = (await session.execute(select(WebhookEndpoint))).scalars().all()
    assert (statuses, endpoints) == (["cancelled"], [])
    assert await quiet.station.store.oldest_pending_seconds() == 0.0
