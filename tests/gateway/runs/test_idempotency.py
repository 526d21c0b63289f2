"""`Idempotency-Key`: every row of the documented table."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway.errors import GatewayError
from gateway.runs.idempotency import fingerprint, read_idempotency
from gateway.runs.run import FailureCode, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from protos.errors import ErrorCode
from tests.gateway.runs.builders import COMPLETED, DEPLOYMENT, PROFILE, failed, keyed, new_run

OTHER = "99999999-9999-4999-8999-999999999999"


async def end(store: RunStore, run_id: str, code: str | None = None) -> None:
    """Finish a run, with a result or an error."""
    claim = await store.claim(run_id, "w")
    assert claim is not None
    ending = COMPLETED if code is None else failed(code)
    assert await store.finish(run_id, claim.attempt, ending) is not None


async def age(database: Database, run_id: str, **age: float) -> None:
    """Backdate the creation of a run."""
    made = now() - timedelta(**age)
    async with database.write() as session:
        await session.execute(update(RunRow).where(RunRow.id == run_id).values(created_at=made))


async def test_the_first_call_is_processed(store: RunStore) -> None:
    created = await store.create(new_run(idempotency=keyed()))
    assert not created.existing
    assert created.run.idempotency_key == "k"
    assert await store.get(created.run.id) is not None


@pytest.mark.parametrize("code", [None, FailureCode.FLOW_FAILED, FailureCode.TIMEOUT])
async def test_a_repeated_call_gets_the_result_of_the_first(
    store: RunStore, code: str | None
) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    await end(store, first.run.id, code)
    again = await store.create(new_run(idempotency=keyed()))
    assert again.existing
    assert again.run == await store.get(first.run.id)
    assert (again.run.output_data is None) == (code is not None)


async def test_a_repeated_call_gets_the_running_run(store: RunStore) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    for claim in (False, True):
        if claim:
            await store.claim(first.run.id, "w")
        again = await store.create(new_run(idempotency=keyed()))
        assert (again.existing, again.run.id) == (True, first.run.id)
        assert again.run.status is (RunStatus.RUNNING if claim else RunStatus.QUEUED)


@pytest.mark.parametrize(
    "code",
    [
        FailureCode.WORKER_LOST,
        FailureCode.QUEUE_TIMEOUT,
        FailureCode.INFERENCE_UNAVAILABLE,
        FailureCode.NO_ACTIVE_INFERENCE,
        FailureCode.CANCELLED_BY_SHUTDOWN,
    ],
)
async def test_an_infrastructure_failure_is_not_replayed(store: RunStore, code: str) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    await end(store, first.run.id, code)
    second = await store.create(new_run(idempotency=keyed()))
    assert not second.existing
    third = await store.create(new_run(idempotency=keyed()))
    assert (third.existing, third.run.id) == (True, second.run.id)


async def test_the_same_key_with_another_body_is_refused(store: RunStore) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    for _ in ("running", "ended by infrastructure"):
        with pytest.raises(GatewayError, match="another body") as refused:
            await store.create(new_run(idempotency=keyed(fingerprint="0" * 64)))
        assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
        assert refused.value.details == {"flow_run_id": first.run.id}
        run = await store.get(first.run.id)
        if run and not run.ended:
            await end(store, first.run.id, FailureCode.WORKER_LOST)


async def test_a_key_is_scoped_to_profile_and_deployment(store: RunStore) -> None:
    ids = set()
    for change in ({}, {"profile_id": OTHER}, {"deployment_id": OTHER}):
        created = await store.create(new_run(idempotency=keyed(), **change))
        assert not created.existing
        ids.add(created.run.id)
    assert len(ids) == 3


async def test_a_key_is_kept_for_a_day_and_until_its_run_ends(
    database: Database, store: RunStore
) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    await age(database, first.run.id, hours=25)
    assert (await store.create(new_run(idempotency=keyed()))).run.id == first.run.id
    await end(store, first.run.id)
    await age(database, first.run.id, hours=23)
    assert (await store.create(new_run(idempotency=keyed()))).run.id == first.run.id
    await age(database, first.run.id, hours=25)
    second = await store.create(new_run(idempotency=keyed(fingerprint="0" * 64)))
    assert (second.existing, second.run.id == first.run.id) == (False, False)


async def test_a_refused_call_keeps_no_key(store: RunStore) -> None:
    first = await store.create(new_run(idempotency=keyed()))
    assert await store.withdraw(first.run.id)
    second = await store.create(new_run(idempotency=keyed(fingerprint="0" * 64)))
    assert not second.existing


async def test_concurrent_identical_calls_create_one_run(store: RunStore, url: str) -> None:
    other = Database(url)
    stores = [store, RunStore(other)]
    created = await asyncio.gather(
        *(stores[n % 2].create(new_run(idempotency=keyed())) for n in range(10))
    )
    assert sum(not one.existing for one in created) == 1
    assert len({one.run.id for one in created}) == 1
    await end(store, created[0].run.id, FailureCode.WORKER_LOST)
    again = await asyncio.gather(
        *(stores[n % 2].create(new_run(idempotency=keyed())) for n in range(10))
    )
    await other.close()
    assert sum(not one.existing for one in again) == 1
    assert len({one.run.id for one in again}) == 1
    assert again[0].run.id != created[0].run.id


async def test_a_run_claimed_at_creation_is_claimed_once(store: RunStore) -> None:
    first = await store.create(new_run(idempotency=keyed()), owner="g")
    again = await store.create(new_run(idempotency=keyed()), owner="g")
    assert first.claim is not None
    assert (again.existing, again.claim) == (True, None)


def test_a_key_may_be_quoted() -> None:
    for value in (b'"8e03978e-40d5"', b"8e03978e-40d5", b" 8e03978e-40d5 "):
        found = read_idempotency(value, DEPLOYMENT, b"{}")
        assert found is not None
        assert found.key == "8e03978e-40d5"
    quoted = read_idempotency(rb'"a\"b\\c"', DEPLOYMENT, b"{}")
    assert quoted is not None
    assert quoted.key == 'a"b\\c'
    assert read_idempotency(None, DEPLOYMENT, b"{}") is None


@pytest.mark.parametrize("value", [b"", b'""', b"a b", b"k\xe9y", b"x" * 256, b"\x01"])
def test_invalid_keys_are_refused(value: bytes) -> None:
    with pytest.raises(GatewayError, match="1 to 255 visible ASCII") as refused:
        read_idempotency(value, DEPLOYMENT, b"{}")
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_the_fingerprint_covers_deployment_and_body() -> None:
    prints = {
        fingerprint(DEPLOYMENT, b"{}"),
        fingerprint(PROFILE, b"{}"),
        fingerprint(DEPLOYMENT, b""),
    }
    assert len(prints) == 3
    assert all(len(one) == 64 for one in prints)
