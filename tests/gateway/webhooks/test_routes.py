"""`/node/webhooks/`, and the effect of saving a deployment on its webhook."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.storage.clock import now
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from tests.gateway.in_process_gateway import DEPLOYMENTS, deploy, flow_json
from tests.gateway.runs.builders import failed
from tests.gateway.webhooks.harness import DELIVERIES, ENDPOINTS, WebhookHarness
from tests.gateway.webhooks.receiver import eventually

BLOCKED = [
    "https://10.0.0.1/hook",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://169.254.169.254/latest/",
    "https://metadata.google.internal/",
    "https://2130706433/",
    "https://8.8.8.8:22/",
    "https://user:password@example.com/",
]


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_secret_is_shown_once(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    secret = made["webhook_secret"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    for path in (f"{DEPLOYMENTS}{made['id']}/", f"{ENDPOINTS}{made['id']}/", ENDPOINTS):
        assert secret not in (await idle_harness.user.get(path)).text
    async with idle_harness.db.read() as session:
        connection = await session.connection()
        rows = await connection.exec_driver_sql("SELECT * FROM webhook_endpoints")
        assert secret not in repr(rows.all())
        assert secret.removeprefix("whsec_") not in repr(rows.all())


async def test_a_deployment_without_a_webhook_has_no_secret_and_no_endpoint(
    idle_harness: WebhookHarness,
) -> None:
    made = await deploy(idle_harness.user, flow_json())
    assert made["webhook_secret"] is None
    answer = await idle_harness.user.get(f"{ENDPOINTS}{made['id']}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "callback_url" in answer.json()["message"]


@pytest.mark.parametrize("callback", BLOCKED)
async def test_a_callback_url_rejected_by_the_guard_is_not_saved(
    idle_harness: WebhookHarness, callback: str
) -> None:
    webhook = {"notification_method": "webhook", "callback_url": callback}
    made = await deploy(idle_harness.user, flow_json(), **webhook)
    assert (made["http"], made["code"]) == (422, "blocked_target"), made
    assert made["message"].startswith("callback_url: ")
    good = await deploy(idle_harness.user, flow_json())
    changed = await idle_harness.change(good, **webhook)
    assert (changed["http"], changed["code"]) == (422, "blocked_target")
    assert (await idle_harness.user.get(f"{DEPLOYMENTS}{good['id']}/")).json()[
        "callback_url"
    ] is None


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_endpoint_shows_its_delivery_status(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    shown = await idle_harness.endpoint(made)
    assert shown["deployment_name"] == made["name"]
    assert shown["callback_url"] == idle_harness.receiver.url("ok")
    assert shown["events"] == ["run.completed", "run.failed"]
    assert (shown["state"], shown["failures"], shown["paused_until"]) == ("enabled", 0, None)
    (listed,) = (await idle_harness.user.get(ENDPOINTS)).json()["items"]
    assert listed == shown


async def test_subscriptions_can_be_changed_at_the_endpoint_and_at_the_deployment(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    patched = await idle_harness.patch(made, events=["run.started", "run.started"])
    assert patched["events"] == ["run.started"]
    shown = (await idle_harness.user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    assert shown["webhook_events"] == ["run.started"]
    await idle_harness.change(made, webhook_events=["run.failed"])
    assert (await idle_harness.endpoint(made))["events"] == ["run.failed"]
    bad = await idle_harness.user.patch(
        f"{ENDPOINTS}{made['id']}/", json={"events": ["run.exploded"]}
    )
    assert bad.status_code == 422


async def test_enabling_an_endpoint_resets_its_failures(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    off = await idle_harness.patch(made, state="disabled")
    assert (off["state"], off["disabled_reason"]) == ("disabled", "by_user")
    assert off["disabled_at"] is not None
    on = await idle_harness.patch(made, state="enabled")
    assert (on["state"], on["disabled_reason"], on["disabled_at"]) == ("enabled", None, None)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_second_rotation_within_a_day_needs_force(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    first = (await idle_harness.ask(made, "rotate")).json()
    assert first["secret"] not in (None, made["webhook_secret"])
    assert first["overlap_until"] is not None
    again = await idle_harness.ask(made, "rotate")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    forced = await idle_harness.ask(made, "rotate", force=True)
    assert forced.status_code == 200
    assert forced.json()["secret"] not in {first["secret"], made["webhook_secret"]}


async def test_a_rotation_after_the_overlap_needs_no_force(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    await idle_harness.ask(made, "rotate")
    ended = await idle_harness.ask(made, "end-overlap")
    assert (ended.status_code, ended.json()["overlap_until"]) == (200, None)
    assert (await idle_harness.ask(made, "rotate")).status_code == 200


async def test_a_test_delivery_returns_its_result_at_once(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    shown = (await idle_harness.ask(made, "test")).json()
    assert (shown["status"], shown["event"], shown["flow_run_id"]) == (
        "delivered",
        "webhook.test",
        None,
    )
    (attempt,) = shown["attempt_log"]
    assert (attempt["status_code"], attempt["response_body"]) == (200, None)
    assert attempt["seconds"] > 0
    (message,) = idle_harness.receiver.messages()
    message.verify(made["webhook_secret"])
    assert message.event["type"] == "webhook.test"


async def test_a_failed_test_delivery_is_not_retried_and_does_not_affect_health(
    harness: WebhookHarness,
) -> None:
    made = await harness.deploy("status/410")
    shown = (await harness.ask(made, "test")).json()
    assert (shown["status"], shown["attempts"]) == ("failed", 1)
    assert len(harness.receiver.messages()) == 1
    endpoint = await harness.endpoint(made)
    assert (endpoint["state"], endpoint["failures"]) == ("enabled", 0)


async def pause(harness: WebhookHarness) -> None:
    """Have all endpoints paused, as after many failures."""
    async with harness.db.write() as session:
        at = now()
        values = {"failures": 14, "failing_since": at, "paused_until": at + timedelta(hours=1)}
        await session.execute(update(WebhookEndpoint).values(values))


@pytest.mark.parametrize("verb", ["test", "resume"])
async def test_a_paused_receiver_that_works_again_gets_what_waits(
    harness: WebhookHarness, verb: str
) -> None:
    made = await harness.deploy()
    await pause(harness)
    waiting = [await harness.finish(made) for _ in range(2)]
    answer = await harness.ask(made, verb)
    assert answer.status_code == 200
    for run_id in waiting:
        await harness.until(run_id, "delivered")
    endpoint = await harness.endpoint(made)
    assert [endpoint[name] for name in ("failures", "failing_since", "paused_until")] == [
        *(0, None, None)
    ]


async def test_a_replay_is_sent_although_its_receiver_is_paused(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    await pause(harness)
    first, second = [await harness.finish(made) for _ in range(2)]
    waiting = await harness.delivery(first)
    await harness.user.post(f"{DELIVERIES}{waiting['id']}/replay/")
    for run_id in (first, second):  # the first that arrives ends the pause
        await harness.until(run_id, "delivered")


async def test_what_waits_for_its_next_attempt_is_sent_when_its_endpoint_resumes(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    run_id = await idle_harness.finish(made)
    async with idle_harness.db.write() as session:
        later = now() + timedelta(hours=1)
        await session.execute(update(WebhookDelivery).values(due_at=later))
    idle_harness.webhook_dispatcher.start()
    await idle_harness.ask(made, "resume")
    await idle_harness.until(run_id, "delivered")


async def test_a_disabled_endpoint_is_enabled_not_resumed(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    await idle_harness.patch(made, state="disabled")
    refused = await idle_harness.ask(made, "resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_a_disabled_endpoint_can_be_tested(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    await idle_harness.patch(made, state="disabled")
    assert (await idle_harness.ask(made, "test")).json()["status"] == "delivered"


@pytest.mark.databases("sqlite", "postgresql")
async def test_deliveries_are_listed_in_pages_and_by_filters(
    idle_harness: WebhookHarness,
) -> None:
    one, two = await idle_harness.deploy(), await idle_harness.deploy()
    runs = [await idle_harness.finish(one) for _ in range(3)]
    bad = await idle_harness.finish(two, failed())
    await idle_harness.patch(two, state="disabled")
    newest = await idle_harness.deliveries(limit=1)
    assert [each["flow_run_id"] for each in newest] == [bad]
    first = (await idle_harness.user.get(DELIVERIES, params={"limit": 3})).json()
    more = {"limit": 3, "cursor": first["next_cursor"]}
    last = (await idle_harness.user.get(DELIVERIES, params=more)).json()
    seen = [each["flow_run_id"] for each in first["items"] + last["items"]]
    assert seen == [bad, *reversed(runs)]
    assert last["next_cursor"] is None
    filters: list[tuple[dict[str, Any], int]] = [
        ({"deployment": one["id"]}, 3),
        ({"status": "held"}, 1),
        ({"status": "pending"}, 3),
        ({"run": runs[0]}, 1),
        ({"event": "run.failed"}, 1),
        ({"to": (now() - timedelta(hours=1)).isoformat()}, 0),
        ({"from": (now() - timedelta(hours=1)).isoformat()}, 4),
        ({"run": "nonsense"}, 0),
    ]
    for query, count in filters:
        assert len(await idle_harness.deliveries(**query)) == count, query
    for wrong, status in (
        ({"status": "lost"}, 422),
        ({"cursor": "nonsense"}, 400),
        ({"event": "' OR 1"}, 422),
    ):
        assert (await idle_harness.user.get(DELIVERIES, params=wrong)).status_code == status, wrong


async def test_one_delivery_is_replayed_with_its_id(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    run_id = await harness.finish(made)
    shown = await harness.until(run_id, "delivered")
    answer = await harness.user.post(f"{DELIVERIES}{shown['id']}/replay/")
    assert answer.status_code == 202
    messages = await eventually(harness.receiver.messages, lambda found: len(found) == 2)
    assert {message.id for message in messages} == {shown["id"]}
    assert messages[1].headers["x-webhook-attempt"] == "2"
    again = await harness.until(run_id, "delivered")
    assert [attempt["number"] for attempt in again["attempt_log"]] == [1, 2]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_replay_has_all_attempts_again(harness: WebhookHarness) -> None:
    made = await harness.deploy("flaky/5")
    run_id = await harness.finish(made)
    failure = await harness.until(run_id, "failed")
    assert failure["attempts"] == 3
    await harness.user.post(f"{DELIVERIES}{failure['id']}/replay/")
    assert (await harness.until(run_id, "delivered"))["attempts"] == 5


@pytest.mark.databases("sqlite", "postgresql")
async def test_replaying_since_a_time_sends_held_events(harness: WebhookHarness) -> None:
    made = await harness.deploy()
    await harness.until(await harness.finish(made), "delivered")
    since = now().isoformat()
    await harness.patch(made, state="disabled")
    held = [await harness.finish(made) for _ in range(3)]
    refused = await harness.ask(made, "replay", since=since)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await harness.patch(made, state="enabled")
    answer = await harness.ask(made, "replay", since=since)
    assert (answer.status_code, answer.json()) == (202, {"replayed": 3})
    for run_id in held:
        await harness.until(run_id, "delivered")
    assert len(harness.receiver.messages()) == 4
    everything = await harness.ask(made, "replay", since=since, only_failed=False)
    assert everything.json() == {"replayed": 3}
    await eventually(harness.receiver.messages, lambda found: len(found) == 7)
    assert len({message.id for message in harness.receiver.messages()}) == 4


async def test_users_cannot_read_or_change_webhooks_of_other_users(
    idle_harness: WebhookHarness,
) -> None:
    made = await idle_harness.deploy()
    await idle_harness.finish(made)
    (delivery,) = await idle_harness.deliveries()
    bob = await idle_harness.in_process_gateway.user("bob@example.com")
    paths = {
        path: item
        for path, item in idle_harness.in_process_gateway.openapi()["paths"].items()
        if path.startswith("/node/webhooks/")
    }
    bodies = {"replay": {"since": now().isoformat()}}
    requests = 0
    for path, item in paths.items():
        for method in item:
            place = path.format(deployment_id=made["id"], delivery_id=delivery["id"])
            assert (
                await idle_harness.in_process_gateway.client({}).request(method, place)
            ).status_code == 401
            if place != path:
                body = bodies.get(path.split("/")[-2]) if "endpoints" in path else None
                answer = await bob.request(method, place, json=body or {})
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
                requests += 1
            elif method == "get":
                assert (await bob.get(place)).json()["items"] == []
    assert requests == 9
    async with idle_harness.db.read() as session:
        row = (await session.execute(select(WebhookEndpoint))).scalar_one()
        assert (row.state, row.previous_secret) == ("enabled", None)


async def test_a_trigger_key_sees_no_webhook(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    trigger = idle_harness.in_process_gateway.client({"x-api-key": made["api_key"]["key"]})
    answer = await trigger.get(f"{ENDPOINTS}{made['id']}/")
    assert (answer.status_code, answer.json()["code"]) == (403, "api_key_forbidden")


async def test_the_audit_log_has_each_change_and_no_secret(idle_harness: WebhookHarness) -> None:
    made = await idle_harness.deploy()
    rotated = (await idle_harness.ask(made, "rotate")).json()
    await idle_harness.ask(made, "end-overlap")
    await idle_harness.patch(made, events=["run.failed"])
    await idle_harness.patch(made, state="disabled")
    await idle_harness.patch(made, state="enabled")
    await idle_harness.ask(made, "replay", since=now().isoformat())
    answer = await idle_harness.user.get(
        "/node/audit/", params={"subject_id": made["id"], "limit": 50}
    )
    acts = [act["action"] for act in reversed(answer.json()["items"])]
    assert [act for act in acts if act.startswith("webhook.")] == [
        *("webhook.create", "webhook.rotate", "webhook.end_overlap", "webhook.update"),
        *("webhook.disable", "webhook.enable", "webhook.replay"),
    ]
    for secret in (made["webhook_secret"], rotated["secret"]):
        assert secret not in answer.text
