"""What may be written down of a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from gateway.auth.keys import generate_key
from gateway.storage.masking import MASK, digest, mask_secrets, mask_text
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SECRET = [
    *("password", "password_hash", "hash", "webhook_secret", "secret", "secrets", "api_key"),
    *("key", "keys", "token", "csrf_token", "Authorization", "X-Api-Key", "apiKey", "Cookie"),
]
PLAIN = ["key_id", "hashes_seen", "monkey", "replaced_by", "name", "callback_url", "deployments"]


@pytest.mark.parametrize("name", SECRET)
def test_a_field_named_like_a_secret_is_masked(name: str) -> None:
    assert mask_secrets({name: "x"}) == {name: MASK}
    assert mask_secrets({name: 12345}) == {name: MASK}
    assert mask_secrets({name: {"old": "x"}}) == {name: MASK}
    assert mask_secrets({"deep": [{name: "x"}]}) == {"deep": [{name: MASK}]}


@pytest.mark.parametrize("name", PLAIN)
def test_other_fields_are_recorded(name: str) -> None:
    assert mask_secrets({name: "x"}) == {name: "x"}


def test_whether_a_secret_is_set_is_not_masked() -> None:
    values = {"require_idempotency_key": True, "secret": None}
    assert mask_secrets(values) == values


def test_slipstreams_own_secrets_are_masked_anywhere() -> None:
    key = generate_key()
    assert mask_text(f"use {key}, please") == f"use {MASK}, please"
    assert mask_secrets({"note": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}) == {"note": [MASK]}
    assert mask_secrets({"note": {key: 1}}) == {"note": {MASK: 1}}


URLS = {
    "https://example.com/hook": "https://example.com/hook",
    "https://ada:pw@example.com:8443/a": f"https://{MASK}@example.com:8443/a",
    "https://example.com/a?code=x&flag": f"https://example.com/a?code={MASK}&{MASK}",
    "see https://e.com/?a=b#c or": f"see https://e.com/?a={MASK}#{MASK} or",
    "https://[broken/": MASK,
}


@pytest.mark.parametrize("url", URLS)
def test_credentials_in_urls_are_masked(url: str) -> None:
    assert mask_text(url) == URLS[url]


def test_large_values_are_replaced_by_a_digest() -> None:
    large = ["x" * 100] * 100
    assert mask_secrets({"a": large}) == {"a": digest(large)}
    assert digest(large) != digest(large[1:])
    assert digest({"a": 1, "b": "é"}) == digest({"b": "é", "a": 1})
    assert digest({"a": 2**70, "b": "é"}) == digest({"b": "é", "a": 2**70})
    assert len(mask_secrets({"a": "y" * 10_000})["a"]) == 2001


def test_what_is_kept_is_json() -> None:
    values: dict[str, Any] = {"at": datetime(2026, 1, 2, tzinfo=UTC), "some": (1, 2.5), "no": None}
    assert json.loads(json.dumps(mask_secrets(values))) == {
        "at": "2026-01-02T00:00:00+00:00",
        "some": [1, 2.5],
        "no": None,
    }


async def test_no_secret_is_in_any_row(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post("/node/api-keys/", json={"name": "phone"})).json()
    named = (await user.post("/node/api-keys/", json={"name": made["key"]})).json()
    flow = flow_json()
    flow["nodes"][0]["config"]["test_data"] = {"password": "hunter2-in-a-flow"}
    deployed = await deploy(
        user,
        flow,
        notification_method="webhook",
        callback_url="https://example.com/hook?sig=hunter2-in-a-query",
    )
    assert deployed["http"] == 201
    await user.post(f"/node/deployments/{deployed['id']}/redeploy/")
    await user.delete(f"/node/api-keys/{named['id']}/")
    async with in_process_gateway.db.read() as session:
        rows = (await session.execute(text("SELECT * FROM audit_acts"))).all()
        hashes = (await session.execute(text("SELECT hash FROM api_keys"))).scalars().all()
    shown = (await user.get("/node/audit/export/")).text
    written = repr([tuple(row) for row in rows])
    assert "phone" in written
    assert "example.com/hook" in written
    for secret in (made["key"], named["key"], user.headers["x-api-key"], "hunter2", *hashes):
        assert secret not in written
        assert secret not in shown
