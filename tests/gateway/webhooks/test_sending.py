"""From a run's end to the receiver: real rows, a real process at the other end."""

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
from gateway.webhooks.breaker import THRESHOLD
from gateway.webhooks.options import DispatcherOptions
from tests.gateway.runs.builders import COMPLETED
from tests.gateway.webhooks.post import Post
from tests.gateway.webhooks.receiver import eventually


async def test_a_finished_run_arrives_and_an_independent_library_finds_the_signature_good(
    post: Post,
) -> None:
    made = await post.deploy()
    run_id = await post.finish(made)
    (message,) = await eventually(post.receiver.messages)
    message.verify(made["webhook_secret"])
    assert message.event["type"] == "run.completed"
    assert message.data["flow_run_id"] == run_id
    assert message.data["output_data"] == {"label": 1}
    assert message.data["result_url"] == f"https://flows.example.com/node/flow-runs/{run_id}/"
    headers = message.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "flow-deploy-webhooks/1"
    assert (headers["x-webhook-event"], headers["x-webhook-attempt"]) == ("run.completed", "1")
    shown = await post.until(run_id, "delivered")
    assert shown["id"] == message.id
    (attempt,) = shown["attempt_log"]
    assert (attempt["result"], attempt["status_code"]) == ("delivered", 200)
    assert attempt["request_headers"]["webhook-signature"] == headers["webhook-signature"]
    assert attempt["response_body"] is None  # a private target's answer is nobody's business


async def test_a_retry_has_the_same_id_and_body_and_a_signature_of_its_own_time(post: Post) -> None:
    made = await post.deploy("flaky/3")
    run_id = await post.finish(made)
    shown = await post.until(run_id, "delivered")
    messages = post.receiver.messages()
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
    assert (await post.endpoint(made))["failures"] == 0


async def test_after_the_last_attempt_it_has_failed(post: Post) -> None:
    made = await post.deploy("status/500")
    shown = await post.until(await post.finish(made), "failed")
    assert (shown["attempts"], shown["last_error"]) == (3, "http_500")
    assert shown["next_attempt_at"] is None
    endpoint = await post.endpoint(made)
    assert (endpoint["state"], endpoint["failures"]) == ("enabled", 3)
    assert endpoint["failing_since"] is not None


async def test_a_redirect_is_a_failure_and_is_not_followed(post: Post) -> None:
    made = await post.deploy("moved")
    shown = await post.until(await post.finish(made), "failed")
    assert {each["error_code"] for each in shown["attempt_log"]} == {"http_302"}
    assert post.receiver.messages("ok") == []


async def test_410_disables_the_endpoint_and_holds_what_waits(post: Post) -> None:
    made = await post.deploy("status/410")
    gone = await post.finish(made)
    await post.until(gone, "failed")
    endpoint = await post.endpoint(made)
    assert (endpoint["state"], endpoint["disabled_reason"]) == ("disabled", "gone")
    assert (await post.delivery(await post.finish(made)))["status"] == "held"


async def test_a_receiver_can_say_that_it_wants_no_more_of_an_event(post: Post) -> None:
    made = await post.deploy("abort")
    shown = await post.until(await post.finish(made), "failed")
    assert [each["result"] for each in shown["attempt_log"]] == ["aborted"]
    assert (await post.endpoint(made))["state"] == "enabled"


async def test_retry_after_is_honoured(post: Post) -> None:
    made = await post.deploy("later/600")
    run_id = await post.finish(made)
    await post.until_endpoint(made, failures=1)
    shown = await post.delivery(run_id)
    assert shown["status"] == "pending"
    began, due = (moment(shown[name]) for name in ("last_attempt_at", "next_attempt_at"))
    assert 599 < (due - began).total_seconds() < 700
    assert len(post.receiver.messages()) == 1


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_a_receiver_that_throttles_is_left_alone_with_everything(
    quiet: Post, status: int
) -> None:
    made = await quiet.deploy(f"status/{status}")
    await quiet.finish(made)
    quiet.station.start()
    endpoint = await quiet.until_endpoint(made, failures=1)
    await quiet.station.close(3.0)
    assert endpoint["paused_until"] is not None


async def test_a_receiver_that_says_nothing_is_left_after_the_timeout(post: Post) -> None:
    shown = await post.until(await post.finish(await post.deploy("hang")), "failed")
    for attempt in shown["attempt_log"]:
        assert attempt["error_code"] == "timeout"
        assert 0.9 < attempt["seconds"] < 10


async def test_nobody_listening_is_a_failure(post: Post) -> None:
    made = await post.deploy()
    post.receiver.close()
    shown = await post.until(await post.finish(made), "failed")
    assert {each["error_code"] for each in shown["attempt_log"]} == {"unreachable"}


async def test_a_target_that_was_closed_since_is_a_failure_at_each_attempt(post: Post) -> None:
    made = await post.deploy()
    async with post.db.write() as session:
        change = update(Deployment).values(callback_url="http://169.254.169.254/latest/")
        await session.execute(change.where(Deployment.id == made["id"]))
    shown = await post.until(await post.finish(made), "failed")
    assert [(each["result"], each["error_code"]) for each in shown["attempt_log"]] == [
        ("blocked", "blocked_target")
    ] * 3
    assert "credentials" in shown["attempt_log"][0]["error_message"]


async def test_a_secret_of_another_pepper_signs_nothing(post: Post) -> None:
    made = await post.deploy()
    async with post.db.write() as session:
        await session.execute(update(WebhookEndpoint).values(secret=b"x" * 60))
    shown = await post.until(await post.finish(made), "failed")
    assert shown["last_error"] == "secret_unreadable"
    assert post.receiver.messages() == []


async def test_a_late_beginning_is_dropped_once_the_end_has_arrived(quiet: Post) -> None:
    made = await quiet.deploy(webhook_events=["run.started", "run.completed"])
    claim = await quiet.begin(made)
    await _put_off(quiet, hours=1)
    await quiet.runs.finish(claim.run_id, claim.attempt, COMPLETED)
    quiet.station.start()
    await quiet.until(claim.run_id, "delivered", "run.completed")
    await _put_off(quiet, hours=0)
    await quiet.until(claim.run_id, "superseded", "run.started")
    await quiet.station.close(3.0)
    assert [message.event["type"] for message in quiet.receiver.messages()] == ["run.completed"]


async def test_both_secrets_sign_after_a_rotation(post: Post) -> None:
    made = await post.deploy()
    rotated = (await post.ask(made, "rotate")).json()
    await post.finish(made)
    (message,) = await eventually(post.receiver.messages)
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for secret in (made["webhook_secret"], rotated["secret"]):
        message.verify(secret)
    assert (await post.ask(made, "end-overlap")).json()["overlap_until"] is None
    await post.finish(made)
    messages = await eventually(post.receiver.messages, lambda found: len(found) == 2)
    messages[1].verify(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        messages[1].verify(made["webhook_secret"])


async def test_a_previous_secret_signs_for_a_day_and_no_longer(post: Post) -> None:
    made = await post.deploy()
    rotated = (await post.ask(made, "rotate")).json()
    async with post.db.write() as session:
        past = now() - timedelta(seconds=1)
        await session.execute(update(WebhookEndpoint).values(overlap_until=past))
    await post.finish(made)
    (message,) = await eventually(post.receiver.messages)
    message.verify(rotated["secret"])
    assert " " not in message.headers["webhook-signature"]


async def test_dead_receivers_delay_no_other(post: Post) -> None:
    dead = [await post.deploy("hang") for _ in range(3)]
    alive = await post.deploy()
    for _ in range(20):
        for made in dead:
            await post.finish(made)
    run_id = await post.finish(alive)
    began = time.monotonic()
    await post.until(run_id, "delivered")
    assert time.monotonic() - began < 5.0


async def test_an_endpoint_that_fails_again_and_again_gets_one_attempt_at_a_time(
    quiet: Post,
) -> None:
    made = await quiet.deploy("status/500")
    for _ in range(THRESHOLD + 5):
        await quiet.finish(made)
    quiet.station.start()
    deadline = time.monotonic() + 20
    while not (shown := await quiet.endpoint(made))["paused_until"]:
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    at_most = THRESHOLD + DispatcherOptions(schedule=()).endpoint_concurrency
    assert len(quiet.receiver.messages()) <= at_most
    await quiet.station.close(3.0)


async def test_after_five_days_of_failures_an_endpoint_is_disabled(post: Post) -> None:
    made = await post.deploy("status/500")
    await post.until(await post.finish(made), "failed")
    async with post.db.write() as session:
        long_ago = now() - timedelta(days=5, minutes=1)
        await session.execute(update(WebhookEndpoint).values(failing_since=long_ago))
    run_id = await post.finish(made)
    endpoint = await post.until_endpoint(made, state="disabled")
    assert endpoint["disabled_reason"] == "failing"
    assert (await post.until(run_id, "held"))["attempts"] == 1


async def test_a_receiver_that_is_back_is_whole_again(post: Post) -> None:
    made = await post.deploy("flaky/2")
    await post.until(await post.finish(made), "delivered")
    endpoint = await post.endpoint(made)
    assert (endpoint["failures"], endpoint["failing_since"]) == (0, None)


async def test_attempts_are_counted_by_how_they_went(post: Post) -> None:
    await post.until(await post.finish(await post.deploy("flaky/2")), "delivered")
    metrics = (await post.in_process_gateway.client({}).get("/metrics")).text
    assert 'webhook_attempts_total{result="delivered"} 1.0' in metrics
    assert 'webhook_attempts_total{result="failed"} 1.0' in metrics
    assert "webhook_outbox_oldest_seconds" in metrics


async def _put_off(post: Post, *, hours: int) -> None:
    """Have every `run.started` failed once, and due in some hours."""
    waits = {"failures": 1, "due_at": now() + timedelta(hours=hours)}
    begun = WebhookDelivery.event == "run.started"
    async with post.db.write() as session:
        await session.execute(update(WebhookDelivery).where(begun).values(waits))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
