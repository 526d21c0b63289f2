"""Uses of keys are counted in memory and written many at once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from gateway.auth.authenticator import Authenticator
from gateway.auth.uses import UseLedger
from gateway.storage.changes import ChangeFeed
from gateway.storage.clock import now
from gateway.storage.database import Database
from tests.gateway.databases import statements, without
from tests.gateway.office import Office
from tests.gateway.test_key_lives import KEYS, make
from tests.gateway.test_key_rotation import show


async def test_calls_are_counted_and_written_in_one_statement(office: Office) -> None:
    user = await office.user()
    keys = [await make(user) for _ in range(3)]
    authenticator = office.authenticator
    for key in keys:
        await authenticator.authenticate(key["key"])
    with statements(office.db) as asked:
        for _ in range(100):
            for key in keys:
                assert authenticator.identify(key["key"])
        assert asked == []
        await authenticator.uses.flush()
    assert [statement for statement in asked if "UPDATE api_keys" in statement] == [asked[-1]]
    for key in keys:
        shown = await show(user, key["id"])
        assert shown["total_uses"] == 101
        assert now() - datetime.fromisoformat(shown["last_used_at"]) < timedelta(seconds=30)


async def test_nothing_is_written_where_nothing_was_used(office: Office) -> None:
    with statements(office.db) as asked:
        await office.authenticator.uses.flush()
    assert asked == []


async def test_refused_calls_do_not_count(office: Office) -> None:
    user = await office.user()
    made = await make(user)
    await user.post(f"{KEYS}{made['id']}/deactivate/")
    for _ in range(3):
        with pytest.raises(Exception, match="deactivated"):
            await office.authenticator.authenticate(made["key"])
    await office.authenticator.uses.flush()
    assert (await show(user, made["id"]))["total_uses"] == 0


async def test_processes_add_up(office: Office, url: str) -> None:
    user = await office.user()
    keys = [await make(user) for _ in range(20)]
    others = [Database(url) for _ in range(3)]
    processes = [Authenticator(db, office.services.hasher, ChangeFeed(db)) for db in others]
    for turn in range(3):
        for number, process in enumerate(processes):
            for key in keys[:: 1 if number % 2 else -1]:
                await process.authenticate(key["key"])
        await asyncio.gather(*(process.uses.flush() for process in processes))
        assert (await show(user, keys[0]["id"]))["total_uses"] == 3 * (turn + 1)
    for key in keys:
        assert (await show(user, key["id"]))["total_uses"] == 9
    for db in others:
        await db.close()


async def test_what_could_not_be_written_is_written_later(office: Office) -> None:
    user = await office.user()
    made = await make(user)
    authenticator = office.authenticator
    await authenticator.authenticate(made["key"])
    async with without(office.db, "api_keys"):
        await authenticator.uses.flush()
        assert authenticator.identify(made["key"])
        await authenticator.uses.flush()
    await authenticator.uses.flush()
    assert (await show(user, made["id"]))["total_uses"] == 2


async def test_a_key_that_was_deleted_meanwhile_keeps_no_other_from_being_counted(
    office: Office,
) -> None:
    user = await office.user()
    gone, kept = await make(user), await make(user)
    for key in (gone, kept):
        await office.authenticator.authenticate(key["key"])
    await user.delete(f"{KEYS}{gone['id']}/")
    await office.authenticator.uses.flush()
    assert (await show(user, kept["id"]))["total_uses"] == 1


async def test_uses_of_more_keys_than_one_statement_takes_are_all_written(office: Office) -> None:
    user = await office.user()
    profile_id = user.headers["x-test-profile"]
    keys = [await office.services.keys.create(profile_id, name="one of many") for _ in range(520)]
    for key in keys:
        await office.authenticator.authenticate(key.plain)
    await office.authenticator.uses.flush()
    for key in (keys[0], keys[-1]):
        assert (await office.services.keys.get(profile_id, key.row.id)).row.total_uses == 1


async def test_the_ledger_writes_by_itself_and_once_more_when_it_closes(office: Office) -> None:
    user = await office.user()
    made = await make(user)
    authenticator = office.authenticator
    authenticator.uses = UseLedger(office.db, interval=0.05)
    authenticator.uses.start()
    await authenticator.authenticate(made["key"])
    async with asyncio.timeout(30):
        while (await show(user, made["id"]))["total_uses"] != 1:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
    await authenticator.authenticate(made["key"])
    await authenticator.uses.close()
    assert (await show(user, made["id"]))["total_uses"] == 2
