"""The life of a key: what it is given, what can be changed, when it ends, what to warn of."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gateway.auth import key_authenticator
from gateway.auth.keys import generate_key
from gateway.errors import GatewayError
from gateway.storage.clock import now
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import HERE, InProcessGateway, deploy, flow_json, here

KEYS = "/node/api-keys/"


def in_days(days: float) -> str:
    """Return a time as callers send it."""
    return (now() + timedelta(days=days)).isoformat()


# Any, here and below: JSON
async def make(user: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    """Make a key."""
    answer = await user.post(KEYS, json={"name": "phone", **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def age(in_process_gateway: InProcessGateway, key_id: str, **columns: Any) -> None:
    """Let time go by for a key: write what its row would say then."""
    async with in_process_gateway.db.write() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**columns))


async def refusal(in_process_gateway: InProcessGateway, key: str) -> ErrorCode:
    """Return the code that a key is refused with."""
    with pytest.raises(GatewayError) as caught:
        await in_process_gateway.authenticator.authenticate(key, HERE)
    return caught.value.code


def codes(key: dict[str, Any]) -> list[str]:
    """Return the codes of a key's warnings."""
    return [warning["code"] for warning in key["warnings"]]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_key_is_given_a_name_an_environment_and_an_expiry(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    expires_at = in_days(30)
    made = await make(user, environment="production", expires_at=expires_at)
    shown = (await user.get(f"{KEYS}{made['id']}/")).json()
    del made["key"]
    assert shown == made
    assert shown["environment"] == "production"
    assert datetime.fromisoformat(shown["expires_at"]) == datetime.fromisoformat(expires_at)
    assert (shown["state"], shown["total_uses"], shown["warnings"]) == ("active", 0, [])
    assert shown["rotated_at"] is shown["calls_since_rotation"] is shown["replaced_by"] is None


@pytest.mark.databases("sqlite", "postgresql")
async def test_only_members_in_the_request_change(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    deployment = await deploy(user, flow_json())
    made = await make(user, environment="test", expires_at=in_days(30))
    path = f"{KEYS}{made['id']}/"
    changed = (await user.patch(path, json={"environment": "staging"})).json()
    del made["key"]
    assert changed == {**made, "environment": "staging"}
    changed = (await user.patch(path, json={"name": "desk", "expires_at": None})).json()
    assert (changed["name"], changed["environment"], changed["expires_at"]) == (
        "desk",
        "staging",
        None,
    )
    changed = (await user.patch(path, json={"deployments": [deployment["id"]] * 2})).json()
    assert changed["deployments"] == [deployment["id"]]
    refused = await user.patch(path, json={"scope": "manage"})
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    changed = (await user.patch(path, json={"scope": "manage", "deployments": None})).json()
    assert (changed["scope"], changed["deployments"]) == ("manage", None)
    assert (await user.patch(path, json={})).json() == changed


BAD_CHANGES: list[dict[str, object]] = [
    {"name": None},
    {"name": ""},
    {"environment": ""},
    {"environment": "Production!"},
    {"expires_at": "yesterday"},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "2031-01-01T00:00:00"},
    {"expires_at": "9999-12-31T23:59:59-23:00"},
    {"expires_at": 4102444800},
    {"expires_at": "4102444800"},
    {"scope": None},
    {"deployments": []},
    {"deployments": ["b8a7e4a2-0000-4000-8000-000000000000"]},
    {"state": "active"},
    {"total_uses": 0},
]


async def test_changes_that_make_no_sense_are_refused_and_change_nothing(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    del made["key"]
    for change in BAD_CHANGES:
        answer = await user.patch(f"{KEYS}{made['id']}/", json=change)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), change
    assert (await user.get(f"{KEYS}{made['id']}/")).json() == made


async def test_an_expiry_that_cannot_be_is_refused_when_the_key_is_made(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for expires_at in ("2020-01-01T00:00:00Z", in_days(3651), "soon", 5):
        answer = await user.post(KEYS, json={"name": "phone", "expires_at": expires_at})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_an_expired_key_answers_401_at_once_although_it_is_cached(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await in_process_gateway.user()
    made = await make(user, scope="manage", expires_at=in_days(1))
    brief = in_process_gateway.client({"x-api-key": made["key"]})
    await in_process_gateway.authenticator.authenticate(made["key"], HERE)
    assert (await brief.get(KEYS)).status_code == 200
    await age(in_process_gateway, made["id"], expires_at=now() - timedelta(seconds=1))
    later = time.time() + 86_400
    monkeypatch.setattr(key_authenticator, "time", lambda: later)
    assert in_process_gateway.authenticator.cached_identity(made["key"], here) is None
    refused = await brief.get(KEYS)
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_expired")
    assert "'phone' expired at 20" in refused.json()["message"]
    with statements(in_process_gateway.db) as asked:
        for _ in range(3):
            assert await refusal(in_process_gateway, made["key"]) is ErrorCode.API_KEY_EXPIRED
    assert len([statement for statement in asked if "api_keys" in statement]) == 1
    shown = (await user.get(f"{KEYS}{made['id']}/")).json()
    assert shown["state"] == "expired"


async def test_an_expired_key_works_again_when_it_is_given_a_later_expiry(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user, expires_at=in_days(1))
    await age(in_process_gateway, made["id"], expires_at=now() - timedelta(seconds=1))
    assert await refusal(in_process_gateway, made["key"]) is ErrorCode.API_KEY_EXPIRED
    answer = await user.patch(f"{KEYS}{made['id']}/", json={"expires_at": in_days(1)})
    assert answer.json()["state"] == "active"
    await in_process_gateway.feed.poll()
    assert (await in_process_gateway.authenticator.authenticate(made["key"], HERE)).key_id == made[
        "id"
    ]


async def test_a_deactivated_key_that_has_expired_says_that_it_is_deactivated(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user, expires_at=in_days(1))
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    await age(in_process_gateway, made["id"], expires_at=now() - timedelta(days=1))
    assert await refusal(in_process_gateway, made["key"]) is ErrorCode.API_KEY_DEACTIVATED
    assert (await user.get(f"{KEYS}{made['id']}/")).json()["state"] == "deactivated"


async def test_a_key_that_covers_several_deployments_has_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first, second, third = [await deploy(user, flow_json()) for _ in range(3)]
    assert codes(first["api_key"]) == []
    listed = {key["name"]: key for key in (await user.get(KEYS)).json()["items"]}
    shared = listed[f"Key for {first['name']}"]
    assert codes(shared) == ["shared"]
    assert "covers 3 deployments" in shared["warnings"][0]["message"]
    assert codes(listed["manager"]) == []
    two = await make(user, deployments=[first["id"], second["id"]])
    assert codes(two) == ["shared"]
    assert codes(await make(user, deployments=[third["id"]])) == []
    await user.delete(f"/node/deployments/{second['id']}/")
    assert codes((await user.get(f"{KEYS}{two['id']}/")).json()) == []
    await user.post(f"{KEYS}{shared['id']}/deactivate/")
    assert codes((await user.get(f"{KEYS}{shared['id']}/")).json()) == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_old_keys_and_keys_that_expire_soon_have_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user, expires_at=in_days(6.9))
    assert codes(made) == ["expires_soon"]
    await age(in_process_gateway, made["id"], created_at=now() - timedelta(days=90))
    assert codes((await user.get(f"{KEYS}{made['id']}/")).json()) == ["old", "expires_soon"]
    changed = (await user.patch(f"{KEYS}{made['id']}/", json={"expires_at": in_days(8)})).json()
    assert codes(changed) == ["old"]
    await age(in_process_gateway, made["id"], created_at=now() - timedelta(days=89))
    assert codes((await user.get(f"{KEYS}{made['id']}/")).json()) == []


async def test_a_key_can_be_generated_for_one_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = await deploy(user, flow_json())
    path = f"/node/deployments/{first['id']}/api-keys/"
    made = await user.post(path)
    assert made.status_code == 201
    assert made.json()["name"] == f"Key for {first['name']}"
    assert (made.json()["scope"], made.json()["deployments"]) == ("trigger", [first["id"]])
    body = {"name": "partner", "environment": "production", "expires_at": in_days(1)}
    partner = (await user.post(path, json=body)).json()
    assert (partner["name"], partner["environment"]) == ("partner", "production")
    identity = await in_process_gateway.authenticator.authenticate(partner["key"], HERE)
    assert identity.deployments == {first["id"]}
    for wrong in ({"scope": "manage"}, {"expires_at": "2020-01-01T00:00:00Z"}, {"name": ""}):
        assert (await user.post(path, json=wrong)).status_code == 422
    await user.delete(f"/node/deployments/{first['id']}/")
    assert (await user.post(path)).status_code == 410
    await in_process_gateway.feed.poll()
    assert await refusal(in_process_gateway, partner["key"]) is ErrorCode.API_KEY_DEACTIVATED


async def _delete(
    in_process_gateway: InProcessGateway, user: httpx.AsyncClient, key_id: str
) -> None:
    await user.delete(f"{KEYS}{key_id}/")


async def _deactivate(
    in_process_gateway: InProcessGateway, user: httpx.AsyncClient, key_id: str
) -> None:
    await user.post(f"{KEYS}{key_id}/deactivate/")


async def _expire(
    in_process_gateway: InProcessGateway, user: httpx.AsyncClient, key_id: str
) -> None:
    await age(in_process_gateway, key_id, expires_at=now() - timedelta(seconds=1))


async def _delete_successor(
    in_process_gateway: InProcessGateway, user: httpx.AsyncClient, key_id: str
) -> None:
    successor = (await user.post(f"{KEYS}{key_id}/rotate/")).json()
    await user.delete(f"{KEYS}{successor['id']}/")


@pytest.mark.parametrize("end", [_delete, _deactivate, _expire, _delete_successor])
async def test_a_new_deployment_without_an_active_key_gets_one(
    in_process_gateway: InProcessGateway, end: Any
) -> None:
    user = await in_process_gateway.user()
    first = (await deploy(user, flow_json()))["api_key"]
    assert (await deploy(user, flow_json()))["api_key"] is None
    await end(in_process_gateway, user, first["id"])
    third = (await deploy(user, flow_json()))["api_key"]
    assert third["deployments"] is None
    assert (await deploy(user, flow_json()))["api_key"] is None


async def test_errors_never_repeat_a_key_that_came_in_the_wrong_place(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    key = generate_key()
    answers = [
        await user.get(f"/node/deployments/{key}/"),
        await user.get(f"/nowhere/{key}", params={"key": key}),
        await user.get(KEYS, params={"cursor": key, "limit": key}),
        await user.post(KEYS, json={"name": "x", "key": key}),
        await user.post(KEYS, json={"name": "x", "deployments": [key]}),
        await user.post(KEYS, json={"name": "a" * 180, "scope": f"{'x' * 60}{key}"}),
        await user.post("/node/flows/", json={key: key}),
        await user.get(f"/v2/models/{key}"),
        await in_process_gateway.client({"x-api-key": key}).get(KEYS),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert key[8:30] not in answer.text, answer.url
    assert f"{key[:8]}********{key[-5:]}" in answers[0].json()["message"]


async def test_times_are_in_utc(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await make(user, expires_at="2027-06-01T12:00:00+02:00")
    assert datetime.fromisoformat(made["expires_at"]) == datetime(2027, 6, 1, 10, tzinfo=UTC)
    assert made["expires_at"].endswith("Z")
