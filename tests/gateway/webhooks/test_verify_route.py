"""`/node/webhooks/verify/`: reports why a signature fails."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.webhooks.signature import new_secret, sign
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.webhooks.harness import Json, WebhookHarness

VERIFY = "/node/webhooks/verify/"
BODY = '{"type":"run.completed","data":{"text":"größer"}}'


def request_body(secret: str, *, at: int | None = None, body: str = BODY, **more: Any) -> Json:
    sent = int(time.time()) if at is None else at
    headers = {
        "Webhook-Id": "msg_1",
        "WEBHOOK_TIMESTAMP": str(sent),
        "webhook-signature": sign(secret, "msg_1", sent, BODY.encode()),
    }
    return {"secret": secret, "headers": headers, "body": body, **more}


async def verdict(harness: WebhookHarness, body: Json) -> Json:
    answer = await harness.user.post(VERIFY, json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def test_a_valid_request_is_accepted(idle_harness: WebhookHarness) -> None:
    question = request_body(new_secret())
    expected = question["headers"]["webhook-signature"]
    assert await verdict(idle_harness, question) == {
        "good": True,
        "findings": [],
        "expected": expected,
    }


async def test_a_changed_body_is_reported(idle_harness: WebhookHarness) -> None:
    found = await verdict(idle_harness, request_body(new_secret(), body=BODY.replace(":", ": ")))
    (finding,) = found["findings"]
    assert (found["good"], finding["code"], finding["place"]) == (False, "body_changed", "body")


async def test_an_old_request_can_be_verified_at_its_own_time(idle_harness: WebhookHarness) -> None:
    secret = new_secret()
    (finding,) = (await verdict(idle_harness, request_body(secret, at=1767323046)))["findings"]
    assert finding["code"] == "timestamp_too_old"
    at = datetime.fromtimestamp(1767323050, UTC).isoformat()
    assert (await verdict(idle_harness, request_body(secret, at=1767323046) | {"at": at}))["good"]


async def test_the_previous_secret_is_recognised(idle_harness: WebhookHarness) -> None:
    old, new = new_secret(), new_secret()
    found = await verdict(idle_harness, request_body(old) | {"secret": new, "previous_secret": old})
    assert [finding["code"] for finding in found["findings"]] == ["previous_secret"]


async def test_the_secret_appears_in_no_response_audit_event_or_log(
    idle_harness: WebhookHarness,
    in_process_gateway: InProcessGateway,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secret = new_secret()
    bare = secret.removeprefix("whsec_")
    json_type = {"content-type": "application/json"}
    good = await idle_harness.user.post(VERIFY, json=request_body(secret))
    wrong = [
        await idle_harness.user.post(VERIFY, json=request_body(secret) | {"secret": [secret]}),
        await idle_harness.user.post(VERIFY, json=request_body(secret) | {"secret": secret * 20}),
        await idle_harness.user.post(VERIFY, json=request_body(secret) | {"headers": secret}),
        await idle_harness.user.post(VERIFY, json=request_body(secret) | {secret: 1}),
        await idle_harness.user.post(VERIFY, content=f'{{"secret": "{secret}', headers=json_type),
    ]
    assert [answer.status_code for answer in wrong] == [422, 422, 422, 422, 400]
    for answer in (good, *wrong[:3], wrong[4]):
        assert bare not in answer.text
    assert bare not in repr([act.after for act in await acts_in(in_process_gateway.db)])
    captured = capfd.readouterr()
    assert bare not in captured.out + captured.err


async def test_verification_requires_a_manage_key(idle_harness: WebhookHarness) -> None:
    answer = await idle_harness.user.post(
        VERIFY, json=request_body(new_secret()), headers={"X-API-Key": "x"}
    )
    assert answer.status_code == 401
