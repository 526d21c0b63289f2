"""Quotas of the bytes of stored runs and events, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import pytest

from gateway.errors import GatewayError
from gateway.runs import storage_quota
from gateway.runs.run import Run
from gateway.runs.storage_quota import StorageLimits, StorageQuota
from gateway.runs.storage_usage import StorageCounts
from gateway.runs.store import RunStore
from gateway.settings import Settings
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.quota_tables import ROW_BYTES
from protos.errors import ErrorCode
from tests.gateway.databases import statements
from tests.gateway.runs.builders import PROFILE, finished, keyed, new_run
from tests.gateway.runs.test_storage_usage import counted

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = "99999999-9999-4999-8999-999999999999"
INPUT = b"1" * 1000
RUN = ROW_BYTES + len(INPUT)
GIB = 1 << 30


def store_with(
    database: Database, *, user: int, installation: int | None = None, refused: list[str]
) -> RunStore:
    """Return a store with room for so many bytes."""
    limits = StorageLimits(installation_bytes=installation or 100 * user, user_bytes=user)
    return RunStore(database, quota=StorageQuota(limits, on_refusal=refused.append))


async def create(store: RunStore, profile_id: str = PROFILE) -> str | GatewayError:
    """Create a run of RUN bytes; return its id, or why it was refused."""
    new = new_run(profile_id=profile_id, input_data=INPUT)
    try:
        await store.create(new)
    except GatewayError as refusal:
        return refusal
    return new.id


class Process(NamedTuple):
    """What a gateway process has."""

    database: Database
    store: RunStore


@pytest.fixture
async def two(database: Database, url: str) -> AsyncIterator[list[Process]]:
    """Two processes, each with room for ten runs of a user."""
    other = Database(url)
    yield [Process(db, store_with(db, user=10 * RUN, refused=[])) for db in (database, other)]
    await other.close()


async def test_a_run_over_the_quota_is_refused_and_says_what_to_do(database: Database) -> None:
    refused: list[str] = []
    store = store_with(database, user=2 * RUN, refused=refused)
    for _ in range(2):
        assert isinstance(await create(store), str)
    refusal = await create(store)
    assert isinstance(refusal, GatewayError)
    assert refusal.code is ErrorCode.STORAGE_QUOTA_EXCEEDED
    assert refusal.code.http_status == 507
    assert refusal.message == (
        f"your stored runs and events have {2 * RUN} of {2 * RUN} bytes (setting "
        "SLIPSTREAM_USER_RUN_STORAGE_BYTES, and at most half of what all may have): delete runs "
        "that are not needed, wait until older ones have expired, or ask the operator for more"
    )
    assert refused == ["user_storage"]
    assert await counted(database) == (2 * RUN, 2 * RUN), "nothing of it is stored"
    assert isinstance(await create(store, OTHER), str), "another user has room"


async def test_what_retention_deletes_makes_room(database: Database) -> None:
    store = store_with(database, user=RUN, refused=[])
    old = finished(timedelta(days=31), input_data=INPUT)
    await RunStore(database).record_finished([old])
    assert isinstance(await create(store), GatewayError)
    assert await store.prune(now() - timedelta(days=30)) == 1
    assert isinstance(await create(store), str)


async def test_a_fast_call_whose_run_has_no_room_is_refused(database: Database) -> None:
    store = store_with(database, user=2 * RUN, refused=[])
    batch = [finished(input_data=INPUT, idempotency=keyed(key)) for key in ("one", "two")]
    batch.append(finished(input_data=INPUT, profile_id=OTHER))
    first, second, other = await store.record_finished(batch)
    assert isinstance(second, GatewayError)
    assert second.code is ErrorCode.STORAGE_QUOTA_EXCEEDED
    assert await store.get(batch[1].new.id) is None
    assert isinstance(first, Run)
    assert isinstance(other, Run), "another user has room"


async def test_the_installation_has_a_quota_of_which_a_user_has_at_most_half(
    database: Database,
) -> None:
    settings = Settings(run_storage_bytes=6 * RUN, user_run_storage_bytes=100 * RUN)
    limits = StorageLimits.of(settings)
    assert (limits.user_bytes, limits.installation_bytes) == (3 * RUN, 6 * RUN)
    refused: list[str] = []
    store = store_with(database, user=3 * RUN, installation=6 * RUN, refused=refused)
    for _ in range(3):
        assert isinstance(await create(store), str)
    assert isinstance(await create(store), GatewayError)
    for _ in range(3):
        assert isinstance(await create(store, OTHER), str), "one user cannot stop another"
    third = await create(store, "77777777-7777-4777-8777-777777777777")
    assert isinstance(third, GatewayError)
    assert "SLIPSTREAM_RUN_STORAGE_BYTES" in third.message
    assert refused == ["user_storage", "storage"]


async def test_processes_that_create_at_once_do_not_exceed_a_quota(two: list[Process]) -> None:
    made = await asyncio.gather(*(create(process.store) for process in two * 10))
    assert len([one for one in made if isinstance(one, str)]) == 10
    assert await counted(two[0].database) == (10 * RUN, 10 * RUN)


async def test_where_much_is_left_a_run_costs_no_further_statement(database: Database) -> None:
    store = store_with(database, user=10 * GIB, refused=[])
    await create(store)  # asks for a share
    with statements(database) as asked:
        await create(store)
        limited = len(asked)
        await create(RunStore(database))
    assert limited == len(asked) - limited


async def test_each_process_exceeds_a_quota_by_one_share_at_most(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_quota, "_MIN_QUOTA_BYTES", 1)
    other = Database(url)
    quota = 200 * 4 * RUN  # a share is four runs
    first, second = (store_with(db, user=quota, refused=[]) for db in (database, other))
    await create(second)
    big = finished(input_data=b"1" * (quota - 3 * RUN))
    await first.record_finished([big])
    while isinstance(await create(first), str):
        pass
    more = [await create(second) for _ in range(6)]
    assert [isinstance(one, str) for one in more] == [True, True, True, True, False, False]
    await other.close()


async def test_a_repeated_call_is_answered_with_its_run_whatever_is_stored(
    database: Database,
) -> None:
    store = store_with(database, user=RUN, refused=[])
    new = new_run(input_data=INPUT, idempotency=keyed())
    assert not (await store.create(new)).existing
    again = await store.create(new_run(input_data=INPUT, idempotency=keyed()))
    assert (again.existing, again.run.id) == (True, new.id)
    with pytest.raises(GatewayError, match="your stored runs") as refused:
        await store.create(new_run(input_data=INPUT, idempotency=keyed("another")))
    assert refused.value.code is ErrorCode.STORAGE_QUOTA_EXCEEDED


async def test_a_run_does_not_start_where_its_result_has_no_room(database: Database) -> None:
    store = store_with(database, user=2 * RUN, refused=[])
    waiting = await create(store)
    assert isinstance(waiting, str)
    await RunStore(database).record_finished([finished(input_data=b"1" * 2 * RUN)])
    await StorageCounts(database).add_changes()
    claim = await store.claim(waiting, "w")
    assert claim is not None
    assert claim.refusal is not None
    assert claim.refusal.code == "storage_quota_exceeded"
    assert "SLIPSTREAM_USER_RUN_STORAGE_BYTES" in claim.refusal.message
