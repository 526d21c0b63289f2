"""Delivery from the end of a run to a receiver process, over real rows and connections."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from standardwebhooks.webhooks import WebhookVerificationError

from gateway.storage.clock import now
from gateway.storage.tables import Deployment
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from gateway.webhooks.dispatcher import DispatcherOptions
from gateway.webhooks.retry_policy import CIRCUIT_THRESHOLD
from tests.gateway.runs.builders import COMPLETED
from tests.gateway.webhooks.harness import WebhookHarness
from tests.gateway.webhooks.receiver import eventually
from tests.timing import TIMEOUT_SECONDS, Timer


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_finished_run_arrives_with_a_signature_that_an_independent_library_verifies(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy()
    run_id = await harness.finish(made)
    (message,) = await eventually(harness.receiver.messages)
    message.verify(made["webhook_secret"])
    assert message.event["type"] == "run.completed"
    assert message.data["flow_run_id"] == run_id
    assert message.data["output_data"] == {"label": 1}
    assert message.data["result_url"] == f"https://flows.example.com/node/flow-runs/{run_id}/"
    headers = message.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "flow-deploy-webhooks/1"
    assert (headers["x-webhook-event"], headers["x-webhook-attempt"]) == ("run.completed", "1")
    shown = await harness.until(run_id, "delivered")
    assert shown["id"] == message.id
    (attempt,) = shown["attempt_log"]
    assert (attempt["result"], attempt["status_code"]) == ("delivered", 200)
    assert attempt["request_headers"]["webhook-signature"] == headers["webhook-signature"]
    assert attempt["response_body"] is None  # answers of private targets are not recorded


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_retry_has_the_same_id_and_body_and_a_new_signature(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy("flaky/3")
    run_id = await harness.finish(made)
    shown = await harness.until(run_id, "delivered")
    messages = harness.receiver.messages()
    assert len(messages) == 3
    assert len({(message.id, message.body) for message in messages}) == 1
    assert [message.headers["x-webhook-attempt"] for message in messages] == ["1", "2", "3"]
    for message in messages:
        message.verify(made["webhook_secret"])
    log = shown["attempt_log"]
    assert [(each["number"], each["result"]) for each in log] == [
        (1, "failed"),
        (2, "failed"),
        (3, "delivered"),
    ]
    assert log[0]["error_code"] == "http_500"
    assert (shown["attempts"], shown["last_status_code"], shown["last_error"]) == (3, 200, None)
    assert (await harness.endpoint(made))["failures"] == 0


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_delivery_fails_after_its_last_attempt(harness: WebhookHarness) -> None:
    made = await harness.deploy("status/500")
    shown = await harness.until(await harness.finish(made), "failed")
    assert (shown["attempts"], shown["last_error"]) == (3, "http_500")
    assert shown["next_attempt_at"] is None
    endpoint = await harness.endpoint(made)
    assert (endpoint["state"], endpoint["failures"]) == ("enabled", 3)
    assert endpoint["failing_since"] is not None


async def test_a_redirect_is_a_failure_and_is_not_followed(harness: WebhookHarness) -> None:
    made = await harness.deploy("moved")
    shown = await harness.until(await harness.finish(made), "failed")
    assert {each["error_code"] for each in shown["attempt_log"]} == {"http_302"}
    assert harness.receiver.messages("ok") == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_410_disables_the_endpoint_and_holds_pending_events(harness: WebhookHarness) -> None:
    made = await harness.deploy("status/410")
    gone = await harness.finish(made)
    await harness.until(gone, "failed")
    endpoint = await harness.endpoint(made)
    assert (endpoint["state"], endpoint["disabled_reason"]) == ("disabled", "gone")
    assert (await harness.delivery(await harness.finish(made)))["status"] == "held"


async def test_a_receiver_can_abort_the_retries_of_an_event(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy("abort")
    shown = await harness.until(await harness.finish(made), "failed")
    assert [each["result"] for each in shown["attempt_log"]] == ["aborted"]
    assert (await harness.endpoint(made))["state"] == "enabled"


async def test_retry_after_is_honoured(harness: WebhookHarness) -> None:
    made = await harness.deploy("later/600")
    run_id = await harness.finish(made)
    await harness.until_endpoint(made, failures=1)
    shown = await harness.delivery(run_id)
    assert shown["status"] == "pending"
    began, due = (moment(shown[name]) for name in ("last_attempt_at", "next_attempt_at"))
    assert 599 < (due - began).total_seconds() < 700
    assert len(harness.receiver.messages()) == 1


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("status", [429, 502, 504])
async def test_a_throttling_receiver_pauses_its_endpoint(
    idle_harness: WebhookHarness, status: int
) -> None:
    made = await idle_harness.deploy(f"status/{status}")
    await idle_harness.finish(made)
    idle_harness.webhook_dispatcher.start()
    endpoint = await idle_harness.until_endpoint(made, failures=1)
    await idle_harness.webhook_dispatcher.close(3.0)
    assert endpoint["paused_until"] is not None


@pytest.mark.long
async def test_a_silent_receiver_times_out(
    harness: WebhookHarness,
) -> None:
    shown = await harness.until(await harness.finish(await harness.deploy("hang")), "failed")
    for attempt in shown["attempt_log"]:
        assert attempt["error_code"] == "timeout"
        assert 0.9 < attempt["seconds"] < 10


async def test_a_refused_connection_is_a_failure(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    harness.receiver.close()
    shown = await harness.until(await harness.finish(made), "failed")
    assert {each["error_code"] for each in shown["attempt_log"]} == {"unreachable"}


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_target_blocked_later_fails_each_attempt(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy()
    async with harness.db.write() as session:
        change = update(Deployment).values(callback_url="http://169.254.169.254/latest/")
        await session.execute(change.where(Deployment.id == made["id"]))
    shown = await harness.until(await harness.finish(made), "failed")
    assert [(each["result"], each["error_code"]) for each in shown["attempt_log"]] == [
        ("blocked", "blocked_target")
    ] * 3
    assert "credentials" in shown["attempt_log"][0]["error_message"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_secret_encrypted_with_another_pepper_signs_nothing(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy()
    async with harness.db.write() as session:
        await session.execute(update(WebhookEndpoint).values(secret=b"x" * 60))
    shown = await harness.until(await harness.finish(made), "failed")
    assert shown["last_error"] == "secret_unreadable"
    assert harness.receiver.messages() == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_late_start_event_is_dropped_after_the_end_event(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy(webhook_events=["run.started", "run.completed"])
    claim = await idle_harness.begin(made)
    await _postpone_start_events(idle_harness, hours=1)
    await idle_harness.runs.finish(claim.run_id, claim.attempt, COMPLETED)
    idle_harness.webhook_dispatcher.start()
    await idle_harness.until(claim.run_id, "delivered", "run.completed")
    await _postpone_start_events(idle_harness, hours=0)
    await idle_harness.until(claim.run_id, "superseded", "run.started")
    await idle_harness.webhook_dispatcher.close(3.0)
    assert [message.event["type"] for message in idle_harness.receiver.messages()] == [
        "run.completed"
    ]


@pytest.mark.databases("sqlite", "postgresql")
async def test_both_secrets_sign_after_a_rotation(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    rotated = (await harness.ask(made, "rotate")).json()
    await harness.finish(made)
    (message,) = await eventually(harness.receiver.messages)
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for secret in (made["webhook_secret"], rotated["secret"]):
        message.verify(secret)
    assert (await harness.ask(made, "end-overlap")).json()["overlap_until"] is None
    await harness.finish(made)
    messages = await eventually(harness.receiver.messages, lambda found: len(found) == 2)
    messages[1].verify(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        messages[1].verify(made["webhook_secret"])


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_previous_secret_signs_for_one_day(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    rotated = (await harness.ask(made, "rotate")).json()
    async with harness.db.write() as session:
        past = now() - timedelta(seconds=1)
        await session.execute(update(WebhookEndpoint).values(overlap_until=past))
    await harness.finish(made)
    (message,) = await eventually(harness.receiver.messages)
    message.verify(rotated["secret"])
    assert " " not in message.headers["webhook-signature"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_dead_receivers_do_not_delay_others(harness: WebhookHarness) -> None:
    dead = [await harness.deploy("hang") for _ in range(3)]
    alive = await harness.deploy()
    for _ in range(20):
        for made in dead:
            await harness.finish(made)
    run_id = await harness.finish(alive)
    timer = Timer()
    await harness.until(run_id, "delivered")
    assert timer.seconds < 5.0


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_failing_endpoint_gets_one_attempt_at_a_time(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy("status/500")
    for _ in range(CIRCUIT_THRESHOLD + 5):
        await idle_harness.finish(made)
    idle_harness.webhook_dispatcher.start()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (shown := await idle_harness.endpoint(made))["paused_until"]:
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    at_most = CIRCUIT_THRESHOLD + DispatcherOptions(schedule=()).endpoint_concurrency
    assert len(idle_harness.receiver.messages()) <= at_most
    await idle_harness.webhook_dispatcher.close(3.0)


@pytest.mark.databases("sqlite", "postgresql")
async def test_after_five_days_of_failures_an_endpoint_is_disabled(harness: WebhookHarness) -> None:
    made = await harness.deploy("status/500")
    await harness.until(await harness.finish(made), "failed")
    async with harness.db.write() as session:
        long_ago = now() - timedelta(days=5, minutes=1)
        await session.execute(update(WebhookEndpoint).values(failing_since=long_ago))
    run_id = await harness.finish(made)
    endpoint = await harness.until_endpoint(made, state="disabled")
    assert endpoint["disabled_reason"] == "failing"
    assert (await harness.until(run_id, "held"))["attempts"] == 1


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_success_resets_the_failures_of_an_endpoint(harness: WebhookHarness) -> None:
    made = await harness.deploy("flaky/2")
    await harness.until(await harness.finish(made), "delivered")
    endpoint = await harness.endpoint(made)
    assert (endpoint["failures"], endpoint["failing_since"]) == (0, None)


async def test_attempts_are_counted_by_outcome(harness: WebhookHarness) -> None:
    await harness.until(await harness.finish(await harness.deploy("flaky/2")), "delivered")
    metrics = (await harness.in_process_gateway.client({}).get("/metrics")).text
    assert 'webhook_attempts_total{result="delivered"} 1.0' in metrics
    assert 'webhook_attempts_total{result="failed"} 1.0' in metrics
    assert "webhook_outbox_oldest_seconds" in metrics


async def test_the_seconds_from_an_event_to_its_first_delivery_are_measured(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    assert (await idle_harness.ask(made, "test")).is_success
    run_id = await idle_harness.finish(made)
    async with idle_harness.db.write() as session:
        of_run = update(WebhookDelivery).where(WebhookDelivery.run_id == run_id)
        await session.execute(of_run.values(created_at=now() - timedelta(minutes=4)))
    idle_harness.webhook_dispatcher.start()
    shown = await idle_harness.until(run_id, "delivered")
    replay = await idle_harness.user.post(f"/node/webhooks/deliveries/{shown['id']}/replay/")
    assert replay.status_code == 202
    assert (await idle_harness.until(run_id, "delivered"))["attempts"] == 2
    container = idle_harness.in_process_gateway._container
    client = idle_harness.in_process_gateway.client({})
    metrics = (await client.get("/metrics")).text
    series = f'webhook_delivery_seconds_bucket{{deployment="{made["id"]}",le='
    assert f'{series}"120.0"}} 0.0' in metrics
    assert f'{series}"300.0"}} 1.0' in metrics
    assert f'{series}"+Inf"}} 1.0' in metrics
    container.metrics.remove_deployment(made["id"])
    assert series not in (await client.get("/metrics")).text


async def _postpone_start_events(harness: WebhookHarness, *, hours: int) -> None:
    """Make every `run.started` delivery failed once and due in some hours."""
    waits = {"failures": 1, "due_at": now() + timedelta(hours=hours)}
    begun = WebhookDelivery.event == "run.started"
    async with harness.db.write() as session:
        await session.execute(update(WebhookDelivery).where(begun).values(waits))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
