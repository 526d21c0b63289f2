"""Prometheus metrics of runs."""

from __future__ import annotations

import pytest

from gateway.execution.sweeper import RunMetrics
from gateway.runs.store import RunStore
from telemetry.instruments import Registry, render
from tests.gateway.runs.builders import claimed, new_run


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
    metrics.set_counts(await store.counts(), stored_bytes=7)
    shown = render([metrics, registry]).decode()
    assert 'runs_in_state{state="queued"} 1.0' in shown
    assert 'runs_in_state{state="running"} 1.0' in shown
    assert "run_storage_bytes 7.0" in shown
    assert "run_storage_limit_bytes 9.0" in shown
    assert 'run_lease_reaped_total{outcome="lost"} 1.0' in shown
    assert 'run_lease_reaped_total{outcome="requeued"} 0.0' in shown
