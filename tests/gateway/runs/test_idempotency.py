"""`Idempotency-Key`: every row of the documented table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway.auth.identity import Identity, Role, Scope
from gateway.errors import GatewayError
from gateway.runs.idempotency import fingerprint, read_idempotency
from gateway.runs.run import FailureCode, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from protos.errors import ErrorCode
from tests.gateway.runs.builders import (
    COMPLETED,
    DEPLOYMENT,
    PROFILE,
    failed,
    finished,
    keyed,
    new_run,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = "99999999-9999-4999-8999-999999999999"
CALLER = Identity(
    key_id="new",
    profile_id=PROFILE,
    scope=Scope.TRIGGER,
    deployments=None,
    role=Role.OWNER,
    replaced_keys=frozenset({"old"}),
)


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


async def test_a_key_is_scoped_to_profile_deployment_and_api_key(store: RunStore) -> None:
    ids = set()
    for change in ({}, {"profile_id": OTHER}, {"deployment_id": OTHER}, {"key_id": OTHER}):
        for existing in (False, True):
            created = await store.create(new_run(idempotency=keyed(), **change))
            assert created.existing is existing
            ids.add(created.run.id)
    assert len(ids) == 4


async def test_a_rotated_api_key_repeats_the_calls_of_the_one_that_it_replaced(
    store: RunStore,
) -> None:
    read = read_idempotency(b"k", CALLER, DEPLOYMENT, b"{}")
    first = await store.create(new_run(idempotency=read, key_id="old"))
    by_successor = await store.create(new_run(idempotency=read, key_id="new"))
    assert (by_successor.existing, by_successor.run.id) == (True, first.run.id)


async def test_the_run_of_the_callers_own_key_comes_before_one_of_a_replaced_key(
    store: RunStore,
) -> None:
    own = await store.create(new_run(idempotency=keyed(), key_id="new"))
    await store.create(new_run(idempotency=keyed(), key_id="old"))
    again = new_run(idempotency=replace(keyed(), replaced_keys=CALLER.replaced_keys), key_id="new")
    assert (await store.create(again)).run.id == own.run.id


async def test_finished_runs_with_a_key_are_recorded_once(store: RunStore, url: str) -> None:
    other = Database(url)
    stores = [store, RunStore(other)]
    batches = [[finished(idempotency=keyed(str(n))) for n in (3, 1, 2, 1)] for _ in range(6)]
    results = await asyncio.gather(
        *(stores[n % 2].record_finished(batch) for n, batch in enumerate(batches))
    )
    await other.close()
    ids = {(n, run.id) for found in results for n, run in zip((3, 1, 2, 1), found, strict=True)}
    assert len(ids) == 3
    for _, run_id in ids:
        run = await store.get(run_id)
        assert run is not None
        assert run.output_data == COMPLETED.output_data


async def test_a_finished_run_with_another_body_is_not_recorded(store: RunStore) -> None:
    first, other = finished(idempotency=keyed()), finished(idempotency=keyed(fingerprint="0" * 64))
    for batch in ([first, other], [other]):
        *_, refused = await store.record_finished(batch)
        assert isinstance(refused, GatewayError)
        assert refused.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
        assert await store.get(other.new.id) is None
    assert await store.find_repeated(new_run(idempotency=keyed())) == await store.get(first.new.id)


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
        found = read_idempotency(value, CALLER, DEPLOYMENT, b"{}")
        assert found is not None
        assert found.key == "8e03978e-40d5"
    quoted = read_idempotency(rb'"a\"b\\c"', CALLER, DEPLOYMENT, b"{}")
    assert quoted is not None
    assert quoted.key == 'a"b\\c'
    assert read_idempotency(None, CALLER, DEPLOYMENT, b"{}") is None


@pytest.mark.parametrize("value", [b"", b'""', b"a b", b"k\xe9y", b"x" * 256, b"\x01"])
def test_invalid_keys_are_refused(value: bytes) -> None:
    with pytest.raises(GatewayError, match="1 to 255 visible ASCII") as refused:
        read_idempotency(value, CALLER, DEPLOYMENT, b"{}")
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_the_fingerprint_covers_deployment_and_body() -> None:
    prints = {
        fingerprint(DEPLOYMENT, b"{}"),
        fingerprint(PROFILE, b"{}"),
        fingerprint(DEPLOYMENT, b""),
    }
    assert len(prints) == 3
    assert all(len(one) == 64 for one in prints)
