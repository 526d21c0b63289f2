"""The client addresses that a key was used from, counted without a write for each call."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import func, select

from gateway.auth import key_usage
from gateway.auth.key_addresses import KEPT_ADDRESSES, KeyUsage
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.key_usage import CachedKey
from gateway.errors import GatewayError
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.key_tables import KeyAddress
from tests.gateway.auth.test_key_lifetime import KEYS, make
from tests.gateway.databases import without
from tests.gateway.in_process_gateway import HERE, InProcessGateway

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def counts(user: httpx.AsyncClient, key_id: str) -> dict[str, int]:
    """Return address → calls, in the order of the answer."""
    answer = await user.get(f"{KEYS}{key_id}/addresses/")
    assert answer.status_code == 200, answer.text
    return {found["address"]: found["calls"] for found in answer.json()}


async def test_every_address_is_counted_however_rare_its_calls_are(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    assert await counts(user, made["id"]) == {}
    authenticator = in_process_gateway.authenticator
    for _ in range(100):
        await authenticator.authenticate(made["key"], HERE)
    assert authenticator.cached_identity(made["key"], lambda: "203.0.113.7")
    for _ in range(100):
        await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.flush()
    assert await counts(user, made["id"]) == {HERE: 200, "203.0.113.7": 1}


async def test_the_last_one_used_is_first_and_times_are_kept(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    for address in ("2001:db8::1", "192.0.2.1", "2001:db8::1"):
        await authenticator.authenticate(made["key"], address)
        await authenticator.usage.flush()
    first, second = (await user.get(f"{KEYS}{made['id']}/addresses/")).json()
    assert (first["address"], first["calls"]) == ("2001:db8::1", 2)
    assert (second["address"], second["calls"]) == ("192.0.2.1", 1)
    assert first["first_at"] < second["first_at"] == second["last_at"] < first["last_at"]
    assert now() - datetime.fromisoformat(first["last_at"]) < timedelta(seconds=30)


async def test_calls_over_a_unix_socket_have_no_address(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    await in_process_gateway.authenticator.authenticate(made["key"], "")
    await in_process_gateway.authenticator.usage.flush()
    assert await counts(user, made["id"]) == {}


async def test_the_last_fifty_are_kept_of_each_key(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made, other = await make(user), await make(user)
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(other["key"], HERE)
    for number in range(KEPT_ADDRESSES + 10):
        await authenticator.authenticate(made["key"], f"192.0.2.{number}")
        if number % 10 == 9:  # those of one write are equally old
            await authenticator.usage.flush()
    found = await counts(user, made["id"])
    assert set(found) == {f"192.0.2.{number}" for number in range(10, KEPT_ADDRESSES + 10)}
    assert await counts(user, other["id"]) == {HERE: 1}
    async with in_process_gateway.db.read() as session:
        rows = await session.execute(select(func.count()).select_from(KeyAddress))
        assert rows.scalar_one() == KEPT_ADDRESSES + 1


async def test_an_address_shows_what_of_it_was_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.flush()
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    await in_process_gateway.feed.poll()
    for address in (HERE, HERE, "203.0.113.7", ""):
        with pytest.raises(GatewayError):
            await authenticator.authenticate(made["key"], address)
    await authenticator.usage.flush()
    shown = (await user.get(f"{KEYS}{made['id']}/addresses/")).json()
    found = {each["address"]: (each["calls"], each["refused"]) for each in shown}
    assert found == {HERE: (1, 2), "203.0.113.7": (0, 1)}


async def test_processes_add_up(in_process_gateway: InProcessGateway, url: str) -> None:
    user = await in_process_gateway.user()
    keys = [await make(user) for _ in range(10)]
    others = [Database(url) for _ in range(3)]
    processes = [
        KeyAuthenticator(db, in_process_gateway.services.hasher, ChangeFeed(db)) for db in others
    ]
    for _ in range(3):
        for number, process in enumerate(processes):
            for key in keys[:: 1 if number % 2 else -1]:
                await process.authenticate(key["key"], HERE)
                await process.authenticate(key["key"], f"192.0.2.{number}")
        await asyncio.gather(*(process.usage.flush() for process in processes))
    for key in keys:
        expected = {HERE: 9, "192.0.2.0": 3, "192.0.2.1": 3, "192.0.2.2": 3}
        assert await counts(user, key["id"]) == expected
    for db in others:
        await db.close()


async def test_what_could_not_be_written_is_written_later(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    async with without(in_process_gateway.db, "api_key_addresses"):
        await authenticator.authenticate(made["key"], HERE)
        await authenticator.usage.flush()
        await authenticator.authenticate(made["key"], HERE)
    await authenticator.usage.flush()
    assert await counts(user, made["id"]) == {HERE: 2}
    shown = await user.get(f"{KEYS}{made['id']}/")
    assert shown.json()["total_uses"] == 2


async def test_they_are_deleted_with_the_key_also_if_it_is_still_counted(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    gone, kept = await make(user), await make(user)
    authenticator = in_process_gateway.authenticator
    await authenticator.authenticate(gone["key"], HERE)
    await authenticator.usage.flush()
    for key in (gone, kept):
        await authenticator.authenticate(key["key"], "192.0.2.1")
    await user.delete(f"{KEYS}{gone['id']}/")
    await authenticator.usage.flush()
    assert await counts(user, kept["id"]) == {"192.0.2.1": 1}
    async with in_process_gateway.db.read() as session:
        rows = await session.execute(select(KeyAddress.key_id))
        assert list(rows.scalars()) == [kept["id"]]


async def test_memory_is_bounded_while_the_database_is_away() -> None:
    usage = KeyUsage()
    for number in range(10 * KEPT_ADDRESSES):
        usage.add(1, f"2001:db8::{number:x}", now(), rotated=False)
    assert usage.total == 10 * KEPT_ADDRESSES
    assert len(usage.addresses) == KEPT_ADDRESSES
    assert list(usage.addresses)[-1] == usage.last_address


async def test_counters_that_are_dropped_have_counted(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_usage, "_MAX_COUNTERS", 3)
    user = await in_process_gateway.user()
    made = await make(user)
    authenticator = in_process_gateway.authenticator
    for number in (*range(8), *range(8)):
        await authenticator.authenticate(made["key"], f"192.0.2.{number}")
    await authenticator.usage.flush()
    expected = {f"192.0.2.{number}": 2 for number in range(8)}
    assert await counts(user, made["id"]) == expected
    cached: CachedKey | None = authenticator.cached_key(made["key"])
    assert cached is not None
    assert len(cached._uses) <= 3
