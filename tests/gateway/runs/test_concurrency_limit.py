"""Concurrency limits, on both databases."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError
from gateway.limits.policy import ConcurrencyLimit, Policy
from gateway.runs.run import CreatedRun, Idempotency
from gateway.runs.store import RunStore
from protos.errors import ErrorCode
from tests.gateway.runs.builders import COMPLETED, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DEPLOYMENT = "11111111-1111-4111-8111-111111111111"
KEY = "22222222-2222-4222-8222-222222222222"


def cap(kind: str, limit: int) -> ConcurrencyLimit:
    subject = KEY if kind == "key" else DEPLOYMENT
    return ConcurrencyLimit(policy=Policy(name=f"{kind}-runs", quota=limit), kind=kind, id=subject)


async def begin(
    store: RunStore, *concurrency_limits: ConcurrencyLimit, **changes: object
) -> CreatedRun | ErrorCode:
    new = new_run(
        deployment_id=DEPLOYMENT, key_id=KEY, concurrency_limits=concurrency_limits, **changes
    )
    try:
        return await store.create(new)
    except GatewayError as refusal:
        assert refusal.details["violated-policies"] == [concurrency_limits[-1].policy.name]  # noqa: PT017
        return refusal.code


async def test_the_limit_is_never_exceeded(store: RunStore) -> None:
    begun = await asyncio.gather(*(begin(store, cap("deployment", 3)) for _ in range(10)))
    assert begun.count(ErrorCode.TOO_MANY_RUNS) == 7


async def test_an_ended_run_frees_its_place(store: RunStore) -> None:
    first = await begin(store, cap("key", 1))
    assert isinstance(first, CreatedRun)
    assert await begin(store, cap("key", 1)) is ErrorCode.TOO_MANY_RUNS
    claim = await store.claim(first.run.id, "worker")
    assert claim is not None
    assert await begin(store, cap("key", 1)) is ErrorCode.TOO_MANY_RUNS
    await store.finish(first.run.id, claim.attempt, COMPLETED)
    assert isinstance(await begin(store, cap("key", 1)), CreatedRun)


async def test_a_run_with_an_expired_lease_does_not_count(store: RunStore) -> None:
    first = await begin(store, cap("deployment", 1))
    assert isinstance(first, CreatedRun)
    await store.claim(first.run.id, "worker", lease_seconds=0.3)
    assert await begin(store, cap("deployment", 1)) is ErrorCode.TOO_MANY_RUNS
    await asyncio.sleep(0.5)
    assert isinstance(await begin(store, cap("deployment", 1)), CreatedRun)


async def test_runs_of_others_do_not_count(store: RunStore) -> None:
    await store.create(new_run(deployment_id=DEPLOYMENT))
    await store.create(new_run(key_id=KEY))
    assert isinstance(await begin(store, cap("key", 2), cap("deployment", 2)), CreatedRun)
    assert await begin(store, cap("key", 3), cap("deployment", 2)) is ErrorCode.TOO_MANY_RUNS


async def test_a_repeated_call_finds_its_run_at_the_limit(store: RunStore) -> None:
    same = Idempotency(key="once", fingerprint="f" * 64)
    first = await begin(store, cap("key", 1), idempotency=same)
    again = await begin(store, cap("key", 1), idempotency=same)
    assert isinstance(first, CreatedRun)
    assert isinstance(again, CreatedRun)
    assert again.existing
    assert again.run.id == first.run.id
    other = Idempotency(key="other", fingerprint="f" * 64)
    assert await begin(store, cap("key", 1), idempotency=other) is ErrorCode.TOO_MANY_RUNS
