"""Prometheus metrics of runs."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from gateway.execution.sweeper import RunMetrics
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from telemetry.instruments import Registry, render
from tests.gateway.runs.builders import DEPLOYMENT, claimed, new_run


@pytest.mark.databases("sqlite", "postgresql")
async def test_unfinished_runs_are_exported(store: RunStore) -> None:
    registry = Registry()
    metrics = RunMetrics(registry, max_stored_bytes=9)
    assert b"runs_in_state{" not in render([metrics])
    await store.create(new_run())
    await claimed(store)
    lost = await claimed(store, lease=-1)
    reaped = await store.reap()
    assert reaped.lost == (lost.run_id,)
    metrics.add_reaped(requeued=len(reaped.requeued), lost=len(reaped.lost))
    metrics.set_counts(await store.counts(), await store.backlog(), stored_bytes=7)
    shown = render([metrics, registry]).decode()
    assert 'runs_in_state{state="queued"} 1.0' in shown
    assert 'runs_in_state{state="running"} 1.0' in shown
    queued = f'deployment="{DEPLOYMENT}",mode="async",type="api"'
    assert f"run_backlog{{{queued}}} 1.0" in shown
    assert "run_storage_bytes 7.0" in shown
    assert "run_storage_limit_bytes 9.0" in shown
    assert 'run_lease_reaped_total{outcome="lost"} 1.0' in shown
    assert 'run_lease_reaped_total{outcome="requeued"} 0.0' in shown


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_backlog_has_the_age_of_the_oldest_queued_run_and_no_test_runs(
    store: RunStore, database: Database
) -> None:
    other, of_test = (str(uuid4()) for _ in range(2))
    await claimed(store)
    old, young, third = new_run(), new_run(), new_run(deployment_id=other)
    tested = new_run(deployment_id=of_test)
    for run in (old, young, third, tested):
        await store.create(run)
    async with database.write() as session:
        hour_ago = now() - timedelta(hours=1)
        await session.execute(update(RunRow).where(RunRow.id == old.id).values(created_at=hour_ago))
        await session.execute(update(RunRow).where(RunRow.id == tested.id).values(test=True))
    backlog = {each.deployment_id: each for each in await store.backlog()}
    assert {deployment: each.runs for deployment, each in backlog.items()} == {
        DEPLOYMENT: 2,
        other: 1,
    }
    assert backlog[DEPLOYMENT].oldest_seconds >= 3599
    assert backlog[other].oldest_seconds < 3599
    metrics = RunMetrics(Registry(), max_stored_bytes=9, max_series=1)
    metrics.set_counts(await store.counts(), tuple(backlog.values()), stored_bytes=7)
    shown = render([metrics]).decode()
    assert f'run_backlog{{deployment="{DEPLOYMENT}",mode="async",type="api"}} 2.0' in shown
    assert f'deployment="{other}"' not in shown
    assert 'run_backlog_oldest_seconds{mode="async",type="api"} 36' in shown
    assert 'run_backlog_oldest_seconds{mode="sync",type="server"} 0.0' in shown
