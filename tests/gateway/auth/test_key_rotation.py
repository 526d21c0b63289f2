"""A key takes the place of another, in every process, and the old one works on for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.auth import key_authenticator
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.errors import GatewayError
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.clock import now
from gateway.storage.database import Database
from protos.errors import ErrorCode
from tests.gateway.auth.test_key_lifetime import KEYS, age, in_days, make, refusal
from tests.gateway.in_process_gateway import HERE, InProcessGateway, deploy, flow_json, here
from tests.timing import Timer

IN_FORCE_SECONDS = 1.0


# Any, here and below: JSON
async def rotate(user: httpx.AsyncClient, key_id: str, **order: Any) -> dict[str, Any]:
    """Rotate a key; return the answer, with its status as `http`."""
    answer = await user.post(f"{KEYS}{key_id}/rotate/", json=order or None)
    return {**answer.json(), "http": answer.status_code}


async def show(user: httpx.AsyncClient, key_id: str) -> dict[str, Any]:
    """Return what is shown of a key."""
    shown: dict[str, Any] = (await user.get(f"{KEYS}{key_id}/")).json()
    return shown


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_new_key_has_the_attributes_of_the_old_one_which_stays_valid(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    deployment = await deploy(user, flow_json())
    old = await make(user, environment="production", deployments=[deployment["id"]])
    new = await rotate(user, old["id"])
    assert new["http"] == 201
    assert new["key"] != old["key"]
    for member in ("name", "environment", "scope", "deployments", "expires_at"):
        assert new[member] == old[member]
    assert (new["replaces"], new["state"]) == (old["id"], "active")
    shown = await show(user, old["id"])
    assert (shown["replaced_by"], shown["state"]) == (new["id"], "rotating")
    rotated_at, ends_at = (
        datetime.fromisoformat(shown[member]) for member in ("rotated_at", "grace_ends_at")
    )
    assert ends_at - rotated_at == timedelta(days=1)
    await in_process_gateway.feed.poll()
    for key in (old, new):
        assert (
            await in_process_gateway.authenticator.authenticate(key["key"], HERE)
        ).key_id == key["id"]


async def test_calls_that_still_come_with_the_old_key_are_counted(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    for _ in range(3):
        await in_process_gateway.authenticator.authenticate(old["key"], HERE)
    await rotate(user, old["id"])
    await in_process_gateway.feed.poll()
    await in_process_gateway.authenticator.usage.flush()
    shown = await show(user, old["id"])
    assert (shown["total_uses"], shown["calls_since_rotation"]) == (3, 0)
    assert shown["last_call_since_rotation"] is None
    for _ in range(2):
        await in_process_gateway.authenticator.authenticate(old["key"], HERE)
    await in_process_gateway.authenticator.usage.flush()
    shown = await show(user, old["id"])
    assert (shown["total_uses"], shown["calls_since_rotation"]) == (5, 2)
    assert shown["last_call_since_rotation"] == shown["last_used_at"] >= shown["rotated_at"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_old_key_ends_with_the_grace(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    await rotate(user, old["id"], grace_seconds=600)
    await in_process_gateway.authenticator.authenticate(old["key"], HERE)
    await age(in_process_gateway, old["id"], grace_ends_at=now() - timedelta(seconds=1))
    later = time.time() + 601
    monkeypatch.setattr(key_authenticator, "time", lambda: later)
    assert in_process_gateway.authenticator.cached_identity(old["key"], here) is None
    with pytest.raises(GatewayError, match="use its replacement") as caught:
        await in_process_gateway.authenticator.authenticate(old["key"], HERE)
    assert caught.value.code is ErrorCode.API_KEY_EXPIRED
    assert (await show(user, old["id"]))["state"] == "expired"


async def test_without_a_grace_period_the_old_key_ends_at_once(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    new = await rotate(user, old["id"], grace_seconds=0)
    assert await refusal(in_process_gateway, old["key"]) is ErrorCode.API_KEY_EXPIRED
    await in_process_gateway.authenticator.authenticate(new["key"], HERE)


async def test_the_grace_can_be_ended(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    refused = await user.post(f"{KEYS}{old['id']}/end-grace/")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await rotate(user, old["id"])
    for _ in range(2):
        ended = await user.post(f"{KEYS}{old['id']}/end-grace/")
        assert (ended.status_code, ended.json()["state"]) == (200, "expired")
    assert await refusal(in_process_gateway, old["key"]) is ErrorCode.API_KEY_EXPIRED


async def test_a_second_rotation_is_refused_until_the_first_is_over(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    new = await rotate(user, old["id"])
    for key_id in (old["id"], new["id"]):
        refused = await rotate(user, key_id)
        assert (refused["http"], refused["code"]) == (409, "conflict")
        assert "force" in refused["message"]
    await user.post(f"{KEYS}{old['id']}/end-grace/")
    assert (await rotate(user, new["id"]))["http"] == 201
    assert (await rotate(user, old["id"]))["http"] == 409


async def test_force_also_replaces_the_lost_key(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    lost = await rotate(user, old["id"], grace_seconds=60)
    found = await rotate(user, old["id"], grace_seconds=600, force=True)
    assert (found["http"], found["replaces"]) == (201, old["id"])
    first, second = await show(user, old["id"]), await show(user, lost["id"])
    assert first["replaced_by"] == second["replaced_by"] == found["id"]
    assert first["state"] == second["state"] == "rotating"
    assert first["grace_ends_at"] == second["grace_ends_at"]
    assert first["rotated_at"] < second["rotated_at"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_force_does_not_revive_a_key_whose_grace_period_has_ended(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    await rotate(user, old["id"], grace_seconds=0)
    ended = (await show(user, old["id"]))["grace_ends_at"]
    assert (await rotate(user, old["id"], force=True))["http"] == 201
    shown = await show(user, old["id"])
    assert (shown["state"], shown["grace_ends_at"]) == ("expired", ended)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_key_whose_replacement_was_deleted_can_be_rotated_again(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    lost = await rotate(user, old["id"])
    await user.delete(f"{KEYS}{lost['id']}/")
    assert (await rotate(user, old["id"]))["http"] == 201


async def test_a_deactivated_key_can_be_rotated_and_stays_off(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    await user.post(f"{KEYS}{old['id']}/deactivate/")
    new = await rotate(user, old["id"])
    assert new["state"] == "active"
    assert await refusal(in_process_gateway, old["key"]) is ErrorCode.API_KEY_DEACTIVATED


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_new_key_has_the_lifetime_of_the_old_one(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user, expires_at=in_days(30))
    made, ends = now() - timedelta(days=28), now() + timedelta(days=2)
    await age(in_process_gateway, old["id"], created_at=made, expires_at=ends)
    new = await rotate(user, old["id"])
    left = datetime.fromisoformat(new["expires_at"]) - now()
    assert timedelta(days=29.9) < left <= timedelta(days=30)
    assert new["warnings"] == []


@pytest.mark.parametrize(
    "order",
    [{"grace_seconds": -1}, {"grace_seconds": 604_801}, {"grace_seconds": "long"}, {"grace": 1}],
)
async def test_invalid_rotation_options_are_rejected(
    in_process_gateway: InProcessGateway, order: dict[str, object]
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    refused = await rotate(user, made["id"], **order)
    assert (refused["http"], refused["code"]) == (422, "validation_failed")


@pytest.mark.databases("sqlite", "postgresql")
async def test_one_of_several_concurrent_rotations_wins(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    old = await make(user)
    answers = await asyncio.gather(*(rotate(user, old["id"]) for _ in range(5)))
    assert sorted(answer["http"] for answer in answers) == [201, 409, 409, 409, 409]


@pytest.fixture
async def elsewhere(
    in_process_gateway: InProcessGateway, url: str
) -> AsyncIterator[KeyAuthenticator]:
    """What another process knows of keys: its own connections, its own feed, which runs."""
    db = Database(url)
    feed = ChangeFeed(db)
    authenticator = KeyAuthenticator(db, in_process_gateway.services.hasher, feed)
    feed.start()
    yield authenticator
    await feed.stop()
    await db.close()


async def _until_refused(authenticator: KeyAuthenticator, key: str) -> ErrorCode:
    timer = Timer()
    while True:
        try:
            known = authenticator.cached_identity(key, here) or await authenticator.authenticate(
                key, HERE
            )
        except GatewayError as error:
            return error.code
        assert known
        assert timer.seconds < IN_FORCE_SECONDS
        await asyncio.sleep(0.01)


ENDS: list[tuple[str, str, dict[str, object] | None, ErrorCode]] = [
    ("POST", "deactivate/", None, ErrorCode.API_KEY_DEACTIVATED),
    ("DELETE", "", None, ErrorCode.API_KEY_INVALID),
    ("POST", "rotate/", {"grace_seconds": 0}, ErrorCode.API_KEY_EXPIRED),
]


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end[1] or end[0])
async def test_ending_a_key_takes_effect_in_other_processes_within_a_second(
    in_process_gateway: InProcessGateway,
    elsewhere: KeyAuthenticator,
    end: tuple[str, str, dict[str, object] | None, ErrorCode],
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    await elsewhere.authenticate(made["key"], HERE)
    method, path, body, code = end
    answer = await user.request(method, f"{KEYS}{made['id']}/{path}", json=body)
    assert answer.is_success
    assert await _until_refused(elsewhere, made["key"]) is code


async def test_a_changed_coverage_takes_effect_in_other_processes_within_a_second(
    in_process_gateway: InProcessGateway, elsewhere: KeyAuthenticator
) -> None:
    user = await in_process_gateway.user()
    deployment = await deploy(user, flow_json())
    made = await make(user)
    assert (await elsewhere.authenticate(made["key"], HERE)).deployments is None
    change = {"deployments": [deployment["id"]]}
    await user.patch(f"{KEYS}{made['id']}/", json=change)
    timer = Timer()
    while (await elsewhere.authenticate(made["key"], HERE)).deployments != {deployment["id"]}:
        assert timer.seconds < IN_FORCE_SECONDS
        await asyncio.sleep(0.01)


async def test_an_activated_key_works_in_other_processes_within_a_second(
    in_process_gateway: InProcessGateway, elsewhere: KeyAuthenticator
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    assert await _until_refused(elsewhere, made["key"])
    await user.post(f"{KEYS}{made['id']}/activate/")
    timer = Timer()
    while await _is_refused(elsewhere, made["key"]):
        assert timer.seconds < IN_FORCE_SECONDS
        await asyncio.sleep(0.01)


async def _is_refused(authenticator: KeyAuthenticator, key: str) -> bool:
    try:
        await authenticator.authenticate(key, HERE)
    except GatewayError:
        return True
    return False
