"""API keys over HTTP, and the authenticator behind every route."""

from __future__ import annotations

import asyncio

import pytest

from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.keys import generate_key
from gateway.auth.profiles import ensure_owner
from gateway.errors import GatewayError
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import HERE, InProcessGateway, here

KEYS = "/node/api-keys/"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_new_key_is_shown_once_and_masked_afterwards(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await user.post(KEYS, json={"name": "phone"})
    assert made.status_code == 201
    key = made.json()["key"]
    shown = (await user.get(f"{KEYS}{made.json()['id']}/")).json()
    assert shown["masked"] == f"{key[:8]}********{key[-5:]}"
    assert (shown["scope"], shown["state"]) == ("trigger", "active")
    listed = await user.get(KEYS)
    assert [item["name"] for item in listed.json()["items"]] == ["phone", "manager"]
    assert key not in listed.text


async def test_a_deactivated_key_is_refused_and_an_activated_one_works(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(KEYS, json={"name": "second", "scope": "manage"})).json()
    second = in_process_gateway.client({"x-api-key": made["key"]})
    assert (await second.get(KEYS)).status_code == 200
    answer = await user.post(f"{KEYS}{made['id']}/deactivate/")
    assert answer.json()["state"] == "deactivated"
    await in_process_gateway.feed.poll()
    refused = await second.get(KEYS)
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_deactivated")
    assert refused.headers["www-authenticate"] == "ApiKey"
    await user.post(f"{KEYS}{made['id']}/activate/")
    await in_process_gateway.feed.poll()
    assert (await second.get(KEYS)).status_code == 200


async def test_a_deleted_key_is_unknown(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(KEYS, json={"name": "second", "scope": "manage"})).json()
    second = in_process_gateway.client({"authorization": f"Bearer {made['key']}"})
    assert (await second.get(KEYS)).status_code == 200
    assert (await user.delete(f"{KEYS}{made['id']}/")).status_code == 204
    await in_process_gateway.feed.poll()
    refused = await second.get(KEYS)
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_invalid")
    assert (await user.get(f"{KEYS}{made['id']}/")).status_code == 404


async def test_a_trigger_key_manages_nothing(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(KEYS, json={"name": "phone"})).json()
    phone = in_process_gateway.client({"x-api-key": made["key"]})
    refused = await phone.get(KEYS)
    assert (refused.status_code, refused.json()["code"]) == (403, "api_key_forbidden")


NO_KEYS: list[tuple[dict[str, str], str]] = [
    ({}, "api_key_missing"),
    ({"x-api-key": ""}, "api_key_missing"),
    ({"x-api-key": "sk-EuT64********vsQa1"}, "api_key_invalid"),
    ({"x-api-key": generate_key()}, "api_key_invalid"),
    ({"authorization": "Basic YTpi"}, "api_key_missing"),
    ({"authorization": "Bearer nonsense"}, "api_key_invalid"),
]

BAD_KEYS: list[dict[str, object]] = [
    {},
    {"name": ""},
    {"name": "a\x00b"},
    {"name": "a", "scope": "root"},
    {"name": "a", "unknown": 1},
    {"name": "a", "deployments": []},
    {"name": "a", "deployments": ["b8a7e4a2-0000-4000-8000-000000000000"]},
    {"name": "a", "deployments": ["a\x00b"]},
    {"name": "a", "scope": "manage", "deployments": ["x"]},
]


async def test_an_invalid_key_answers_401(in_process_gateway: InProcessGateway) -> None:
    for headers, code in NO_KEYS:
        answer = await in_process_gateway.client(headers).get(KEYS)
        assert (answer.status_code, answer.json()["code"]) == (401, code), headers


async def test_keys_that_make_no_sense_are_refused(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for body in BAD_KEYS:
        answer = await user.post(KEYS, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), body


async def test_ids_of_nothing_are_not_found(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for key_id in ("nonsense", "%00", "b8a7e4a2-0000-4000-8000-000000000000"):
        assert (await user.get(f"{KEYS}{key_id}/")).status_code == 404, key_id


async def test_an_unknown_key_reaches_the_database_once(
    in_process_gateway: InProcessGateway,
) -> None:
    unknown = generate_key()
    with statements(in_process_gateway.db) as asked:
        for _ in range(3):
            with pytest.raises(GatewayError, match="unknown"):
                await in_process_gateway.authenticator.authenticate(unknown, HERE)
    assert len([statement for statement in asked if "api_keys" in statement]) == 1


async def test_a_wrong_checksum_never_reaches_the_database(
    in_process_gateway: InProcessGateway,
) -> None:
    with statements(in_process_gateway.db) as asked:
        for key in ("sk-" + "a" * 46, "x", ""):
            with pytest.raises(GatewayError, match="API key: expected sk-"):
                await in_process_gateway.authenticator.authenticate(key, HERE)
    assert asked == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deactivation_reaches_other_processes(
    in_process_gateway: InProcessGateway, url: str
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(KEYS, json={"name": "phone"})).json()
    elsewhere = Database(url)
    feed = ChangeFeed(elsewhere)
    authenticator = KeyAuthenticator(elsewhere, in_process_gateway.services.hasher, feed)
    await feed.poll()
    identity = await authenticator.authenticate(made["key"], HERE)
    assert identity.key_id == made["id"]
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    assert authenticator.cached_identity(made["key"], here) is identity
    await feed.poll()
    assert authenticator.cached_identity(made["key"], here) is None
    with pytest.raises(GatewayError, match="deactivated"):
        await authenticator.authenticate(made["key"], HERE)
    await elsewhere.close()


async def test_no_text_upsets_the_authenticator(in_process_gateway: InProcessGateway) -> None:
    for key in ("", "short", "ü" * 49, "\ud800" * 49, "x" * 10_000):
        assert in_process_gateway.authenticator.cached_identity(key, here) is None
        with pytest.raises(GatewayError):
            await in_process_gateway.authenticator.authenticate(key, HERE)


@pytest.mark.databases("sqlite", "postgresql")
async def test_there_is_one_administrator_however_often_it_is_asked_for(
    database: Database, url: str
) -> None:
    other = Database(url)
    found = await asyncio.gather(*(ensure_owner(db) for db in (database, other) * 3))
    await other.close()
    assert len({profile.id for profile in found}) == 1


@pytest.mark.databases("sqlite", "postgresql")
async def test_limits_of_a_key_are_changed_one_by_one_and_inherited(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    limits = {"calls_per_minute": 60, "concurrent_runs": 2}
    made = (await user.post("/node/api-keys/", json={"name": "shop", "limits": limits})).json()
    path = f"/node/api-keys/{made['id']}/"
    change = {"limits": {"concurrent_runs": None, "calls_per_day": 1000}}
    changed = (await user.patch(path, json=change)).json()["limits"]
    assert {name: value for name, value in changed.items() if value} == {
        "calls_per_minute": 60,
        "calls_per_day": 1000,
    }
    assert (await user.post(path + "rotate/")).json()["limits"] == changed
    cleared = (await user.patch(path, json={"limits": None})).json()["limits"]
    assert set(cleared.values()) == {None}
    bad = await user.patch(path, json={"limits": {"calls_per_minute": 0}})
    assert bad.status_code == 422
