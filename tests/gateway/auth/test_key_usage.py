"""Uses of keys are counted in memory and written many at once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from gateway.auth import key_authenticator
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.key_usage import KeyUsageRecorder
from gateway.auth.keys import generate_key
from gateway.errors import GatewayError
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.clock import now
from gateway.storage.database import Database
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.auth.test_key_lifetime import KEYS, make
from tests.gateway.auth.test_key_rotation import show
from tests.gateway.databases import statements, without
from tests.gateway.in_process_gateway import HERE, InProcessGateway, here
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")

VERBS = ("create", "update", "delete")


async def test_calls_are_counted_and_written_in_one_statement_for_each_table(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    keys = [await make(user) for _ in range(3)]
    authenticator = in_process_gateway.authenticator
    for key in keys:
        await authenticator.authenticate(key["key"], HERE)
    with statements(in_process_gateway.db) as asked:
        for _ in range(100):
            for key in keys:
                assert authenticator.cached_identity(key["key"], here)
        assert asked == []
        await authenticator.usage.flush()
    for write in ("UPDATE api_keys", "INSERT INTO api_key_addresses"):
        assert len([statement for statement in asked if write in statement]) == 1
    for key in keys:
        shown = await show(user, key["id"])
        assert shown["total_uses"] == 101
        assert now() - datetime.fromisoformat(shown["last_used_at"]) < timedelta(seconds=30)


async def test_the_address_of_a_call_since_the_last_write_is_shown(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made, other = await make(user), await make(user)
    assert made["last_address"] is None
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(other["key"], "2001:db8::7")
    for address in ("2001:db8::1", "192.0.2.1", "192.0.2.2"):
        for _ in range(3):
            await authenticator.authenticate(made["key"], address)
        await authenticator.usage.flush()
        assert (await show(user, made["id"]))["last_address"] == address
    assert (await show(user, other["id"]))["last_address"] == "2001:db8::7"


async def test_a_key_that_came_by_a_unix_socket_was_last_used_from_no_address(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    for address, shown in ((HERE, HERE), ("", None)):
        await in_process_gateway.authenticator.authenticate(made["key"], address)
        await in_process_gateway.authenticator.usage.flush()
        assert (await show(user, made["id"]))["last_address"] == shown


async def test_the_audit_log_that_others_may_read_says_nothing_of_the_address(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    await in_process_gateway.authenticator.authenticate(made["key"], "192.0.2.1")
    await in_process_gateway.authenticator.usage.flush()
    await user.patch(f"{KEYS}{made['id']}/", json={"name": "another"})
    await user.delete(f"{KEYS}{made['id']}/")
    acts = [act for act in await acts_in(in_process_gateway.db) if act.subject_id == made["id"]]
    assert [act.action for act in acts] == [f"api_key.{verb}" for verb in VERBS]
    assert "192.0.2.1" not in str([(act.before, act.after, act.address) for act in acts])


async def test_without_uses_nothing_is_written(
    in_process_gateway: InProcessGateway,
) -> None:
    with statements(in_process_gateway.db) as asked:
        await in_process_gateway.authenticator.usage.flush()
    assert asked == []


async def test_refused_calls_are_counted_apart(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made, other = await make(user), await make(user)
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.flush()
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    await in_process_gateway.feed.poll()
    for _ in range(3):
        with pytest.raises(GatewayError, match="deactivated"):
            await authenticator.authenticate(made["key"], "203.0.113.7")
    await authenticator.authenticate(other["key"], HERE)
    await authenticator.usage.flush()
    shown = await show(user, made["id"])
    assert (shown["total_uses"], shown["refused_uses"], shown["last_address"]) == (1, 3, HERE)
    assert shown["last_used_at"] < shown["last_refused_at"]
    beside = await show(user, other["id"])
    assert (beside["total_uses"], beside["refused_uses"]) == (1, 0)
    assert beside["last_refused_at"] is None

    await user.post(f"{KEYS}{made['id']}/activate/")
    await in_process_gateway.feed.poll()
    await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.flush()
    again = await show(user, made["id"])
    assert (again["total_uses"], again["refused_uses"]) == (2, 3)


async def test_refused_calls_of_rotated_keys_are_counted_and_those_of_unknown_keys_are_not(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    await user.post(f"{KEYS}{made['id']}/rotate/", json={"grace_seconds": 0})
    for _ in range(2):
        with pytest.raises(GatewayError, match="use its replacement"):
            await authenticator.authenticate(made["key"], HERE)
    with pytest.raises(GatewayError, match="unknown or was deleted"):
        await authenticator.authenticate(generate_key(), HERE)
    await authenticator.usage.flush()
    assert (await show(user, made["id"]))["refused_uses"] == 2


async def test_memory_for_refused_keys_is_bounded_and_each_is_counted(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_authenticator, "_MAX_REFUSED", 2)
    user = await in_process_gateway.user()
    keys = [await make(user) for _ in range(5)]
    authenticator = in_process_gateway.authenticator
    for key in keys:
        await user.post(f"{KEYS}{key['id']}/deactivate/")
        with pytest.raises(GatewayError, match="deactivated"):
            await authenticator.authenticate(key["key"], HERE)
    await authenticator.usage.flush()
    assert len(authenticator._refused) <= 2
    for key in keys:
        assert (await show(user, key["id"]))["refused_uses"] == 1


async def test_a_request_for_administrators_counts_once(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user, scope="manage")
    async with in_process_gateway.client({"x-api-key": made["key"]}) as client:
        assert (await client.delete("/node/inference-servers/none/")).status_code == 404
    await in_process_gateway._container.key_usage.flush()
    assert (await show(user, made["id"]))["total_uses"] == 1


async def test_processes_add_up(in_process_gateway: InProcessGateway, url: str) -> None:
    user = await in_process_gateway.user()
    keys = [await make(user) for _ in range(20)]
    others = [Database(url) for _ in range(3)]
    processes = [
        KeyAuthenticator(db, in_process_gateway.services.hasher, ChangeFeed(db)) for db in others
    ]
    for turn in range(3):
        for number, process in enumerate(processes):
            for key in keys[:: 1 if number % 2 else -1]:
                await process.authenticate(key["key"], HERE)
        await asyncio.gather(*(process.usage.flush() for process in processes))
        assert (await show(user, keys[0]["id"]))["total_uses"] == 3 * (turn + 1)
    for key in keys:
        assert (await show(user, key["id"]))["total_uses"] == 9
    for db in others:
        await db.close()


async def test_failed_writes_are_repeated_later(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(made["key"], HERE)
    async with without(in_process_gateway.db, "api_keys"):
        await authenticator.usage.flush()
        assert authenticator.cached_identity(made["key"], lambda: "192.0.2.2")
        await authenticator.usage.flush()
    await authenticator.usage.flush()
    shown = await show(user, made["id"])
    assert (shown["total_uses"], shown["last_address"]) == (2, "192.0.2.2")


async def test_a_deleted_key_does_not_keep_others_from_being_counted(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    gone, kept = await make(user), await make(user)
    for key in (gone, kept):
        await in_process_gateway.authenticator.authenticate(key["key"], HERE)
    await user.delete(f"{KEYS}{gone['id']}/")
    await in_process_gateway.authenticator.usage.flush()
    assert (await show(user, kept["id"]))["total_uses"] == 1


@pytest.mark.long
async def test_uses_of_more_keys_than_one_statement_takes_are_all_written(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    profile_id = user.headers["x-test-profile"]
    keys = [
        await in_process_gateway.services.keys.create(profile_id, name="one of many")
        for _ in range(520)
    ]
    for key in keys:
        await in_process_gateway.authenticator.authenticate(key.plain, HERE)
    await in_process_gateway.authenticator.usage.flush()
    for key in (keys[0], keys[-1]):
        assert (
            await in_process_gateway.services.keys.get(profile_id, key.row.id)
        ).row.total_uses == 1


async def test_the_recorder_writes_periodically_and_once_more_when_it_closes(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    authenticator.usage = KeyUsageRecorder(in_process_gateway.db, interval=0.05)
    authenticator.usage.start()
    await authenticator.authenticate(made["key"], HERE)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await show(user, made["id"]))["total_uses"] != 1:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
    await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.close()
    assert (await show(user, made["id"]))["total_uses"] == 2
