"""Deletes runs at their owner's request, which makes room in the storage quotas."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.deployments.settings import ExecutionMode
from gateway.runs.audit_events import record_runs_deleted
from gateway.runs.queries import RunFilter, filtered_runs
from gateway.runs.rows import RUNS
from gateway.runs.sweep_queries import delete_runs
from gateway.storage.database import Database
from gateway.storage.pruning import BATCH_ROWS, ids_of_batch
from gateway.storage.usage_tables import UsageMark

_MARKED_TIME = sa.select(UsageMark.finished_at).scalar_subquery()
_MARKED_RUN = sa.select(UsageMark.run_id).scalar_subquery()
_DELETABLE = sa.or_(
    sa.and_(
        sa.or_(RUNS.c.mode == ExecutionMode.FAST, RUNS.c.test), RUNS.c.finished_at.is_not(None)
    ),
    RUNS.c.finished_at < _MARKED_TIME,
    sa.and_(RUNS.c.finished_at == _MARKED_TIME, RUNS.c.id <= _MARKED_RUN),
)
"""Finished, and counted in usage, which takes some seconds, if it is counted at all."""


async def delete_finished_runs(db: Database, run_filter: RunFilter) -> int:
    """Delete a batch of the oldest finished runs that match; return their number.

    The deletion is audited. One transaction, small enough for other writers not to wait long.
    """
    oldest = (
        filtered_runs(run_filter)
        .with_only_columns(RUNS.c.id, RUNS.c.stored_bytes)
        .where(_DELETABLE)
        .order_by(RUNS.c.created_at, RUNS.c.id)
        .limit(BATCH_ROWS)
        .with_for_update(of=RUNS, skip_locked=True)
    )
    async with db.write() as session:
        ids = ids_of_batch(await session.execute(oldest))
        if ids:
            await delete_runs(session, ids)
            await record_runs_deleted(session, run_filter, len(ids))
    return len(ids)
