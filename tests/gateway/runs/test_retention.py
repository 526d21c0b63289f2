"""Retention of finished runs, and the release of disk space."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.runs.retention import Retention
from gateway.runs.run import RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage import pruning
from gateway.storage.clock import now
from gateway.storage.database import Database, sqlite_file
from gateway.storage.run_tables import RunEventRow, RunLabel, RunPayload, RunRow
from tests.gateway.databases import statements
from tests.gateway.runs.builders import claimed, finished, new_run, run_id_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OLD = timedelta(days=31)


async def rows(database: Database) -> tuple[int, ...]:
    """Count the rows of each table."""
    async with database.read() as session:
        return tuple(
            [
                (await session.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (RunRow, RunPayload, RunEventRow, RunLabel)
            ]
        )


def sizes(path: Path) -> Iterator[int]:
    """Yield the sizes of the files of a SQLite database."""
    for name in (path, Path(f"{path}-wal")):
        if name.exists():
            yield name.stat().st_size


async def test_only_finished_runs_past_retention_are_deleted(
    database: Database, store: RunStore
) -> None:
    await store.record_finished([finished(OLD) for _ in range(5)])
    kept = finished(timedelta(days=29))
    await store.record_finished([kept])
    waiting = run_id_of(now() - OLD)
    await store.create(new_run(id=waiting))
    reporting = await claimed(store, id=run_id_of(now() - OLD))
    await store.report(reporting.run_id, 1, {"a": b"{}"})
    assert await rows(database) == (8, 8, 1, 0)
    assert await Retention(database, {"runs": store}, days=30).sweep() == 5
    assert await rows(database) == (3, 3, 1, 0)
    left = {kept.new.id, waiting, reporting.run_id}
    assert set(await store.marks(list(left))) == left


async def test_events_and_payload_are_deleted_with_the_run(
    database: Database, store: RunStore
) -> None:
    claim = await claimed(store, id=run_id_of(now() - OLD))
    await store.report(claim.run_id, 1, {"a": b"{}", "b": b"{}"})
    await store.finish(claim.run_id, 1, RunResult(status=RunStatus.COMPLETED, output_data=b"{}"))
    assert await rows(database) == (1, 1, 2, 0)
    # created just now, whatever its id says: not expired
    assert await store.prune(now() - timedelta(days=30)) == 0
    assert await store.prune(now() + timedelta(days=1)) == 1
    assert await rows(database) == (0, 0, 0, 0)


async def test_gateways_that_prune_at_once_delete_each_run_once(
    database: Database, store: RunStore, url: str
) -> None:
    other = Database(url)
    for _ in range(3):
        await store.record_finished([finished(OLD) for _ in range(100)])
    sweeps = [
        Retention(db, {"runs": kept}, days=30)
        for db, kept in ((database, store), (other, RunStore(other)))
    ]
    assert sum(await asyncio.gather(*(one.sweep() for one in sweeps))) == 300
    assert await rows(database) == (0, 0, 0, 0)
    await other.close()


async def test_pruning_uses_small_transactions_oldest_first(
    database: Database, store: RunStore
) -> None:
    runs = [finished(OLD + timedelta(hours=hours)) for hours in range(10)]
    await store.record_finished(runs)
    with statements(database) as asked:
        assert await store.prune(now(), limit=4) == 4
    assert len([text for text in asked if text.startswith("DELETE")]) == 4
    left = await store.marks([one.new.id for one in runs])
    assert set(left) == {one.new.id for one in runs[:6]}


async def test_a_transaction_deletes_a_limited_number_of_bytes(
    database: Database, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH_BYTES", 10_000)
    sizes = (3000, 3000, 3000, 30_000, 100)
    for hours, size in enumerate(sizes):
        old = finished(OLD - timedelta(hours=hours), input_data=b"1" * size)
        await store.record_finished([old])
    before = now() - timedelta(days=29)
    assert [await store.prune(before) for _ in range(5)] == [2, 1, 1, 1, 0]


@pytest.mark.databases("sqlite")  # PostgreSQL has autovacuum
async def test_disk_space_is_released(tmp_path: Path, database: Database, store: RunStore) -> None:
    noise = RunResult(
        status=RunStatus.COMPLETED, output_data=b'"%b"' % os.urandom(20_000).hex().encode()
    )
    for _ in range(4):
        await store.record_finished([finished(OLD, noise) for _ in range(50)])
    path = sqlite_file(database.url)
    assert path is not None
    before = sum(sizes(path))
    assert await Retention(database, {"runs": store}, days=30).sweep() == 200
    assert await database.reclaim_space() == 0
    async with database.write() as session:  # a small write, to cause a checkpoint
        session.add(RunPayload(run_id="x"))
    await database.reclaim_space()
    assert before > 8_000_000
    assert path.stat().st_size < 1_000_000


async def test_a_file_without_auto_vacuum_keeps_its_size(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/old.db")
    async with database.write() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("CREATE TABLE t (x)")
        await connection.exec_driver_sql("DROP TABLE t")
    assert await database.reclaim_space() == 0
    await database.close()


async def test_fast_calls_are_recorded_once(database: Database, store: RunStore) -> None:
    batch = [finished(), finished(input_data=None, ending=RunResult(status=RunStatus.COMPLETED))]
    await store.record_finished(batch)
    await store.record_finished(batch)
    assert await rows(database) == (2, 1, 0, 0)
    run = await store.get(batch[0].new.id)
    assert run is not None
    assert (run.status, run.output_data, run.duration_seconds) == (
        "completed",
        b'{"label":1}',
        0.25,
    )
    assert run.created_at == run.started_at == batch[0].started_at
    assert run.finished_at == batch[0].started_at + timedelta(seconds=0.25)
    await store.record_finished([])
