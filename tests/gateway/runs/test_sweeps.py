"""Periodic maintenance of runs."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.run import FailureCode, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from tests.gateway.runs.builders import COMPLETED, claimed, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def make_due(store: RunStore, run_id: str) -> None:
    """Make a queued run due."""
    await store.make_due([run_id], seconds=-1)


async def test_an_unclaimed_run_is_published_again(store: RunStore) -> None:
    fresh, older, oldest, server = (new_run() for _ in range(4))
    for new in (fresh, older, oldest):
        await store.create(new)
    await store.create(new_run(id=server.id, type=DeploymentType.SERVER))
    assert await store.due_for_publishing(DeploymentType.API) == [], "its creator hands it over"
    await store.make_due([oldest.id, server.id], seconds=-10)
    await make_due(store, older.id)
    due = await store.due_for_publishing(DeploymentType.API)
    assert [queued.run_id for queued in due] == [oldest.id, older.id]
    assert (due[0].type, due[0].mode) == (DeploymentType.API, ExecutionMode.ASYNC)
    assert [q.run_id for q in await store.due_for_publishing(DeploymentType.SERVER)] == [server.id]
    assert [q.run_id for q in await store.due_for_publishing(DeploymentType.API, limit=1)] == [
        oldest.id
    ]
    late = await store.due_for_publishing(DeploymentType.API, older_than=5)
    assert [queued.run_id for queued in late] == [oldest.id]
    await store.mark_published([oldest.id, older.id])
    assert await store.due_for_publishing(DeploymentType.API) == []


async def test_a_claimed_run_is_not_published_again(store: RunStore) -> None:
    new = new_run()
    await store.create(new)
    await make_due(store, new.id)
    assert await store.claim(new.id, "w") is not None
    assert await store.due_for_publishing(DeploymentType.API) == []
    await make_due(store, new.id)
    assert await store.due_for_publishing(DeploymentType.API) == []


async def test_a_lost_run_is_requeued_only_if_retry_safe(store: RunStore) -> None:
    safe = await claimed(store, lease=-1, retry_safe=True)
    unsafe = await claimed(store, lease=-1)
    alive = await claimed(store, lease=30, retry_safe=True)
    reaped = await store.reap()
    assert [queued.run_id for queued in reaped.requeued] == [safe.run_id]
    assert reaped.lost == (unsafe.run_id,)
    again, gone = await store.get(safe.run_id), await store.get(unsafe.run_id)
    assert again is not None
    assert (again.status, again.attempt, again.started_at) == (RunStatus.QUEUED, 1, None)
    assert gone is not None
    assert gone.error is not None
    assert (gone.status, gone.error.code) == (RunStatus.FAILED, FailureCode.WORKER_LOST)
    assert gone.ended
    untouched = await store.get(alive.run_id)
    assert untouched is not None
    assert untouched.status is RunStatus.RUNNING
    assert [q.run_id for q in await store.due_for_publishing(DeploymentType.API)] == [safe.run_id]
    assert await store.reap() == type(reaped)(requeued=(), lost=())


async def test_runs_of_processes_that_have_ended_are_reaped_before_their_leases_end(
    store: RunStore,
) -> None:
    safe = await claimed(store, "ended", lease=30, retry_safe=True)
    unsafe = await claimed(store, "ended", lease=-1)
    alive = await claimed(store, "alive", lease=30, retry_safe=True)
    assert sorted(await store.lease_owners()) == ["alive", "ended"]
    reaped = await store.reap(ended_owners=["ended"])
    assert [queued.run_id for queued in reaped.requeued] == [safe.run_id]
    assert reaped.lost == (unsafe.run_id,)
    assert await store.lease_owners() == ["alive"]
    assert (await store.poll_cancelled([(alive.run_id, 1)])).lost == frozenset()


async def test_a_run_that_is_lost_twice_is_not_handed_out_again(store: RunStore) -> None:
    claim = await claimed(store, lease=-1, retry_safe=True)
    assert len((await store.reap()).requeued) == 1
    again = await store.claim(claim.run_id, "w", -1)
    assert again is not None
    assert again.attempt == 2
    assert (await store.reap()).lost == (claim.run_id,)


async def test_shutdowns_do_not_count_as_losses(store: RunStore) -> None:
    claim = await claimed(store, retry_safe=True)
    for attempt in (1, 2, 3):
        assert len((await store.hand_back([(claim.run_id, attempt)])).requeued) == 1
        again = await store.claim(claim.run_id, "w", -1)
        assert again is not None
        assert again.attempt == attempt + 1
    assert len((await store.reap()).requeued) == 1
    assert await store.claim(claim.run_id, "w", -1) is not None
    assert (await store.reap()).lost == (claim.run_id,)


async def test_a_lost_run_with_requested_cancellation_is_cancelled(store: RunStore) -> None:
    claim = await claimed(store, lease=-1, retry_safe=True)
    await store.request_cancel(claim.run_id)
    assert (await store.reap()).lost == (claim.run_id,)
    run = await store.get(claim.run_id)
    assert run is not None
    assert run.error is not None
    assert (run.status, run.error.code) == (RunStatus.CANCELLED, FailureCode.CANCELLED)


async def test_a_lease_is_reaped_only_after_the_grace_period(store: RunStore) -> None:
    claim = await claimed(store, lease=-5)
    assert (await store.reap(grace=60)).lost == ()
    assert (await store.reap(grace=1)).lost == (claim.run_id,)


@pytest.mark.parametrize("safe", [True, False])
async def test_a_concurrent_reap_and_finish_have_one_winner(
    store: RunStore, url: str, *, safe: bool
) -> None:
    other = Database(url)
    reaper = RunStore(other)
    for _ in range(10):
        claim = await claimed(store, lease=-1, retry_safe=safe)
        reaped, finished = await asyncio.gather(
            reaper.reap(), store.finish(claim.run_id, claim.attempt, COMPLETED)
        )
        run = await store.get(claim.run_id)
        assert run is not None
        taken = [*reaped.lost, *(queued.run_id for queued in reaped.requeued)]
        assert (finished is None) == (claim.run_id in taken)
        assert (run.status is RunStatus.COMPLETED) == (finished is not None)
    await other.close()


async def test_concurrent_reapers_reap_each_run_once(store: RunStore, url: str) -> None:
    other = Database(url)
    stores = [store, RunStore(other)]
    ids = {(await claimed(store, lease=-1, retry_safe=True)).run_id for _ in range(20)}
    reaped = await asyncio.gather(*(stores[n % 2].reap() for n in range(6)))
    await other.close()
    requeued = [queued.run_id for one in reaped for queued in one.requeued]
    assert len(requeued) == len(ids)
    assert set(requeued) == ids


async def test_a_run_past_its_queue_timeout_fails(store: RunStore) -> None:
    patient, late = new_run(queue_timeout_seconds=60.0), new_run(queue_timeout_seconds=-1.0)
    endless = new_run()
    for new in (patient, late, endless):
        await store.create(new)
    assert await store.claim(late.id, "w") is None
    assert await store.expire_queued() == [late.id]
    run = await store.get(late.id)
    assert run is not None
    assert run.error is not None
    assert (run.status, run.error.code) == (RunStatus.FAILED, FailureCode.QUEUE_TIMEOUT)
    assert await store.expire_queued() == []
    assert await store.claim(patient.id, "w") is not None
    assert await store.claim(endless.id, "w") is not None


async def test_a_requeued_run_has_no_queue_timeout(store: RunStore) -> None:
    claim = await claimed(store, lease=-1, retry_safe=True, queue_timeout_seconds=0.2)
    await store.reap()
    await asyncio.sleep(0.25)
    assert await store.expire_queued() == []
    assert await store.claim(claim.run_id, "w") is not None


async def test_unfinished_runs_are_counted(store: RunStore) -> None:
    await store.create(new_run())
    await claimed(store)
    done = await claimed(store)
    await store.finish(done.run_id, done.attempt, COMPLETED)
    await store.create(new_run())
    assert await store.counts() == {RunStatus.QUEUED: 2, RunStatus.RUNNING: 1}
