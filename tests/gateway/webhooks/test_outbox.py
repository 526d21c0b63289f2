"""Every start and end of a run writes its event in the same transaction."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from gateway.deployments.settings import ExecutionMode
from gateway.runs.run import Idempotency, RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Deployment
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from gateway.webhooks import store as webhook_store
from gateway.webhooks.metrics import WebhookMetrics
from gateway.webhooks.outbox import WebhookOutbox, message_id_for
from telemetry.instruments import Registry, render
from telemetry.logs import logger
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.runs.builders import COMPLETED, failed, finished
from tests.gateway.webhooks.harness import Json, WebhookHarness

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ALL = ["run.started", "run.completed", "run.failed", "run.cancelled"]


async def events_of(harness: WebhookHarness, run_id: str) -> list[tuple[str, str | None]]:
    """Return the events of a run in order, each with its error code."""
    found = await harness.deliveries(run=run_id)
    events = []
    for delivery in reversed(found):
        shown = (await harness.user.get(f"/node/webhooks/deliveries/{delivery['id']}/")).json()
        error = shown["payload"]["data"].get("error")
        events.append((delivery["event"], error and error["code"]))
    return sorted(events, key=lambda event: ALL.index(event[0]))


async def count(harness: WebhookHarness) -> int:
    async with harness.db.read() as session:
        return (await session.execute(select(func.count(WebhookDelivery.id)))).scalar_one()


async def test_a_subscription_to_both_events_gets_the_start_and_the_end_of_a_run(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy(webhook_events=ALL)
    run_id = await idle_harness.finish(made)
    assert await events_of(idle_harness, run_id) == [("run.started", None), ("run.completed", None)]


async def test_only_the_end_of_a_run_is_reported_by_default(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    assert await events_of(idle_harness, await idle_harness.finish(made)) == [
        ("run.completed", None)
    ]
    bad = await idle_harness.finish(made, failed())
    assert await events_of(idle_harness, bad) == [("run.failed", "flow_failed")]


async def test_only_subscribed_events_are_written(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy(webhook_events=["run.failed"])
    await idle_harness.finish(made)
    assert await count(idle_harness) == 0


async def test_a_run_started_where_it_was_created_is_reported(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy(webhook_events=ALL)
    new = idle_harness.new_run(made, mode=ExecutionMode.SYNC)
    await idle_harness.runs.create(new, owner="gateway")
    keyed = idle_harness.new_run(made, idempotency=Idempotency(key="k", fingerprint="f" * 64))
    await idle_harness.runs.create(keyed, owner="gateway")
    await idle_harness.runs.create(
        idle_harness.new_run(made, idempotency=Idempotency(key="k", fingerprint="f" * 64)),
        owner="gateway",
    )
    assert await events_of(idle_harness, new.id) == [("run.started", None)]
    assert await events_of(idle_harness, keyed.id) == [("run.started", None)]
    assert await count(idle_harness) == 2


async def test_a_run_that_starts_twice_is_reported_once(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy(webhook_events=ALL)
    claim = await idle_harness.begin(made, retry_safe=True)
    await asyncio.sleep(0.02)
    await idle_harness.runs.renew_leases([(claim.run_id, 1)], lease_seconds=-5.0)
    assert len((await idle_harness.runs.reap()).requeued) == 1
    assert await idle_harness.runs.claim(claim.run_id, "another")
    assert await events_of(idle_harness, claim.run_id) == [("run.started", None)]


@pytest.mark.parametrize(
    ("subscribed", "expected"),
    [
        (["run.completed", "run.failed"], "run.failed"),
        (["run.completed", "run.failed", "run.cancelled"], "run.cancelled"),
        (["run.cancelled"], "run.cancelled"),
    ],
    ids=["not subscribed", "subscribed", "alone"],
)
async def test_a_cancelled_run_is_reported_as_subscribed(
    idle_harness: WebhookHarness, subscribed: list[str], expected: str
) -> None:
    made = await idle_harness.deploy(webhook_events=subscribed)
    new = idle_harness.new_run(made)
    await idle_harness.runs.create(new)
    await idle_harness.runs.request_cancel(new.id)
    assert await events_of(idle_harness, new.id) == [(expected, "cancelled")]
    running = await idle_harness.begin(made)
    await idle_harness.runs.request_cancel(running.run_id)
    assert await events_of(idle_harness, running.run_id) == []
    await idle_harness.runs.finish(running.run_id, 1, RunResult(status=RunStatus.CANCELLED))
    assert await events_of(idle_harness, running.run_id) == [(expected, "cancelled")]


async def test_a_timed_out_run_is_reported_as_failed(idle_harness: WebhookHarness) -> None:
    claim = await idle_harness.begin(await idle_harness.deploy())
    await idle_harness.runs.time_out(claim.run_id, 1.0)
    assert await events_of(idle_harness, claim.run_id) == [("run.failed", "timeout")]
    assert not await idle_harness.runs.finish(claim.run_id, 1, COMPLETED)
    assert await count(idle_harness) == 1


async def test_a_run_whose_worker_is_lost_is_reported_as_failed(
    idle_harness: WebhookHarness,
) -> None:
    claim = await idle_harness.begin(await idle_harness.deploy())
    await idle_harness.runs.renew_leases([(claim.run_id, 1)], lease_seconds=-5.0)
    assert (await idle_harness.runs.reap()).lost == (claim.run_id,)
    assert await events_of(idle_harness, claim.run_id) == [("run.failed", "worker_lost")]


async def test_a_run_that_never_started_is_reported_as_failed(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    new = idle_harness.new_run(made, queue_timeout_seconds=-1.0)
    await idle_harness.runs.create(new)
    assert await idle_harness.runs.expire_queued() == [new.id]
    assert await events_of(idle_harness, new.id) == [("run.failed", "queue_timeout")]


async def test_fast_calls_are_reported_when_they_are_recorded(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy(webhook_events=ALL)
    fields = {
        "profile_id": idle_harness.user.headers["x-test-profile"],
        "deployment_id": made["id"],
    }
    good, bad = finished(**fields), finished(ending=failed("inference_failed"), **fields)
    other = finished()
    for _ in range(2):  # a second time changes nothing
        await idle_harness.runs.record_finished([good, bad, other])
    assert await events_of(idle_harness, good.new.id) == [
        ("run.started", None),
        ("run.completed", None),
    ]
    assert await events_of(idle_harness, bad.new.id) == [
        ("run.started", None),
        ("run.failed", "inference_failed"),
    ]
    assert await count(idle_harness) == 4


class _FailingOutbox(WebhookOutbox):
    """An outbox whose writes fail."""

    async def ended(self, session: Any, runs: Any) -> None:
        await super().ended(session, runs)
        raise RuntimeError("no")


async def test_a_run_and_its_event_are_written_atomically(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    claim = await idle_harness.begin(made)
    broken = RunStore(
        idle_harness.db, outbox=_FailingOutbox(idle_harness.in_process_gateway.feed, public_url="")
    )
    with pytest.raises(RuntimeError):
        await broken.finish(claim.run_id, claim.attempt, COMPLETED)
    run = await idle_harness.runs.get(claim.run_id)
    assert run is not None
    assert not run.ended
    assert await count(idle_harness) == 0


async def test_a_deployment_without_a_webhook_costs_no_query(idle_harness: WebhookHarness) -> None:
    made = await deploy(idle_harness.user, flow_json())
    await idle_harness.finish(made)
    with statements(idle_harness.db) as executed:
        await idle_harness.finish(made)
    assert not [text for text in executed if "webhook" in text]


async def test_a_webhook_added_later_reaches_the_outbox_through_the_feed(
    idle_harness: WebhookHarness,
) -> None:
    made = await deploy(idle_harness.user, flow_json())
    await idle_harness.finish(made)
    assert await count(idle_harness) == 0
    url = idle_harness.receiver.url("ok")
    changed = await idle_harness.change(made, notification_method="webhook", callback_url=url)
    assert changed["webhook_secret"].startswith("whsec_")
    await idle_harness.finish(made)
    assert await count(idle_harness) == 1


async def test_a_removed_webhook_gets_no_further_events(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    run_id = await idle_harness.finish(made)
    await idle_harness.change(made, notification_method="none")
    assert (await idle_harness.delivery(run_id))["status"] == "cancelled"
    await idle_harness.finish(made)
    assert await count(idle_harness) == 1
    again = await idle_harness.change(made, notification_method="webhook")
    assert again["webhook_secret"] is None  # the secret has not changed


async def test_events_of_a_disabled_endpoint_are_held(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    before = await idle_harness.finish(made)
    await idle_harness.patch(made, state="disabled")
    after = await idle_harness.finish(made)
    for run_id in (before, after):
        assert (await idle_harness.delivery(run_id))["status"] == "held"


async def test_an_oversized_output_is_omitted_from_the_event(idle_harness: WebhookHarness) -> None:
    large = RunResult(status=RunStatus.COMPLETED, output_data=b'{"x":"' + b"x" * 300_000 + b'"}')
    run_id = await idle_harness.finish(await idle_harness.deploy(), large)
    data = (await idle_harness.delivery(run_id))["payload"]["data"]
    assert (data["output_data"], data["output_truncated"]) == (None, True)


async def test_a_deployment_without_node_outputs_gets_none(
    idle_harness: WebhookHarness,
) -> None:
    run_id = await idle_harness.finish(await idle_harness.deploy(include_node_outputs=False))
    assert (await idle_harness.delivery(run_id))["payload"]["data"]["node_outputs"] == {}


def test_the_id_of_a_message_is_26_digits_and_the_same_for_the_same_event() -> None:
    made = message_id_for("endpoint", "run", "run.completed")
    assert made == message_id_for("endpoint", "run", "run.completed")
    assert made != message_id_for("endpoint", "run", "run.failed")
    assert made.startswith("msg_")
    assert len(made) == 30
    assert made[4:].isalnum()


async def test_deliveries_are_deleted_with_their_runs_except_pending_ones(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    waiting = await idle_harness.finish(made)
    held = await idle_harness.deploy()
    await idle_harness.patch(held, state="disabled")
    await idle_harness.finish(held)
    assert await idle_harness.webhook_dispatcher.store.prune(now() + timedelta(seconds=1)) == 1
    assert await idle_harness.webhook_dispatcher.store.prune(now() + timedelta(seconds=1)) == 0
    assert (await idle_harness.delivery(waiting))["status"] == "pending"
    assert await count(idle_harness) == 1


async def test_the_deletion_of_events_that_no_receiver_got_is_logged(
    idle_harness: WebhookHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivered one is deleted as well, and is no loss."""
    # `capture_logs` does not see a logger that was used under an earlier configuration.
    monkeypatch.setattr(webhook_store, "log", logger("gateway.webhooks"))
    received = await idle_harness.deploy()
    await idle_harness.finish(received)
    async with idle_harness.db.write() as session:
        await session.execute(update(WebhookDelivery).values(status="delivered"))
    disabled = await idle_harness.deploy()
    await idle_harness.patch(disabled, state="disabled")
    await idle_harness.finish(disabled)
    await idle_harness.finish(disabled)
    with capture_logs() as logs:
        deleted = await idle_harness.webhook_dispatcher.store.prune(now() + timedelta(seconds=1))
    assert deleted == 3
    (line,) = [line for line in logs if line["event"] == "held_events_deleted"]
    assert (line["log_level"], line["events"]) == ("warning", 2)


async def test_a_delivery_that_is_being_replayed_is_not_deleted(
    idle_harness: WebhookHarness, url: str
) -> None:
    made = await idle_harness.deploy()
    await idle_harness.patch(made, state="disabled")
    await idle_harness.finish(made)
    other = Database(url)
    async with other.write() as session:
        await session.execute(update(WebhookDelivery).values(status="pending"))
        store = idle_harness.webhook_dispatcher.store
        pruning = asyncio.create_task(store.prune(now() + timedelta(seconds=1)))
        await asyncio.wait({pruning}, timeout=0.5)  # it has found the delivery, and waits for us
    assert await pruning == 0
    assert await count(idle_harness) == 1
    await other.close()


async def test_deployments_with_pending_events_have_the_age_of_the_oldest(
    idle_harness: WebhookHarness,
) -> None:
    store = idle_harness.webhook_dispatcher.store
    assert await store.oldest_pending_seconds() == {}
    young, old, held = [await idle_harness.deploy() for _ in range(3)]
    await idle_harness.patch(held, state="disabled")
    for made in (young, old):
        await idle_harness.finish(made)
    aged = {await idle_harness.finish(old): 1, await idle_harness.finish(held): 2}
    async with idle_harness.db.write() as session:
        for run_id, hours in aged.items():
            of_run = update(WebhookDelivery).where(WebhookDelivery.run_id == run_id)
            await session.execute(of_run.values(created_at=now() - timedelta(hours=hours)))
    ages = await store.oldest_pending_seconds()
    assert list(ages) == [old["id"], young["id"]]
    assert ages[old["id"]] >= 3599 > ages[young["id"]]
    metrics = WebhookMetrics(Registry(), max_series=1)
    metrics.oldest_seconds = ages
    shown = render([metrics]).decode()
    assert "webhook_outbox_oldest_seconds 36" in shown
    assert f'webhook_oldest_seconds{{deployment="{old["id"]}"}} 36' in shown
    assert young["id"] not in shown


async def test_a_deleted_deployment_has_no_secret_and_gets_no_events(
    idle_harness: WebhookHarness,
) -> None:
    made: Json = await idle_harness.deploy()
    run_id = await idle_harness.finish(made)
    assert (await idle_harness.user.delete(f"/node/deployments/{made['id']}/")).status_code == 204
    await idle_harness.in_process_gateway.feed.poll()
    assert (await idle_harness.delivery(run_id))["status"] == "cancelled"
    await idle_harness.finish(made)
    assert await count(idle_harness) == 1
    async with idle_harness.db.read() as session:
        assert (await session.get(Deployment, made["id"])) is not None
    assert (await idle_harness.user.get("/node/webhooks/endpoints/")).json()["items"] == []


async def test_a_deleted_user_has_no_secret_and_gets_no_events(
    idle_harness: WebhookHarness,
) -> None:
    made: Json = await idle_harness.deploy()
    await idle_harness.finish(made)
    engine = idle_harness.in_process_gateway._container.execution
    profile = idle_harness.user.headers["x-test-profile"]
    await idle_harness.in_process_gateway.services.users.delete(profile, engine.cleanup, by=None)
    await idle_harness.in_process_gateway.feed.poll()
    await idle_harness.finish(made)
    async with idle_harness.db.read() as session:
        statuses = (await session.execute(select(WebhookDelivery.status))).scalars().all()
        endpoints = (await session.execute(select(WebhookEndpoint))).scalars().all()
    assert (statuses, endpoints) == (["cancelled"], [])
    assert await idle_harness.webhook_dispatcher.store.oldest_pending_seconds() == {}
