"""What has to be done for runs now and then, whoever does it, and however many do it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Row, Select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.settings import DeploymentType
from gateway.runs import sweep_statements as sql
from gateway.runs.outbox import Outbox
from gateway.runs.rows import queued_run, run_from_row
from gateway.runs.run import QueuedRun, ReapResult, RunStatus
from gateway.runs.run_notifier import RunNotifier
from gateway.storage.database import Database


class SweepQueries:
    """The part of RunStore that a sweep calls. Every method may be called again at any time."""

    def __init__(self, db: Database, notifier: RunNotifier, outbox: Outbox) -> None:
        self._db = db
        self._outbox = outbox
        self.notifier = notifier

    async def due_for_publishing(
        self, type_: DeploymentType, *, older_than: float = 0.0, limit: int = 500
    ) -> list[QueuedRun]:
        """Return queued runs that should have been claimed by now, the longest due first.

        Due is a run a few seconds after its creation, when `mark_published` says so, and at once
        after it was reaped; `older_than` adds seconds to that.
        """
        values = {"type": type_, "late_seconds": -older_than, "most": limit}
        async with self._db.read() as session:
            return [queued_run(row) for row in await session.execute(sql.DUE, values)]

    async def mark_published(self, run_ids: Sequence[str], *, again_after: float = 30.0) -> None:
        """Have runs that were handed over not be due again for `again_after` seconds."""
        values = {"run_ids": run_ids, "again_seconds": again_after}
        async with self._db.write(notify=False) as session:
            await session.execute(sql.MARK_PUBLISHED, values)

    async def reap(self, *, grace: float = 0.0) -> ReapResult:
        """Deal with runs whose lease ended `grace` seconds ago or earlier.

        They are queued again where that is safe, and else have failed with `worker_lost`; those
        that were to be cancelled are. Never call it with less grace than a lease after the
        database was away: nobody could keep a lease meanwhile.
        """
        async with self._db.write(notify=False) as session:
            late = (await session.execute(sql.LEASE_EXPIRED, {"grace_seconds": -grace})).all()
            again = await _change(session, sql.REQUEUE, [row.id for row in late if row.again])
            rows = await _change(session, sql.FAIL_LOST, [row.id for row in late if not row.again])
            lost = [run_from_row(row) for row in rows]
            await self._outbox.ended(session, lost)
        for row in again:
            self.notifier.changed(row.id)
        for run in lost:
            self.notifier.ended(run)
        return ReapResult(
            requeued=tuple(queued_run(row) for row in again), lost=tuple(run.id for run in lost)
        )

    async def expire_queued(self) -> list[str]:
        """Fail runs that have waited for longer than they may; return their ids."""
        async with self._db.write(notify=False) as session:
            late = (await session.execute(sql.QUEUE_EXPIRED)).scalars().all()
            expired = [run_from_row(row) for row in await _change(session, sql.FAIL_EXPIRED, late)]
            await self._outbox.ended(session, expired)
        for run in expired:
            self.notifier.ended(run)
        return [run.id for run in expired]

    async def cancel_abandoned(self, which: Select[str], values: Mapping[str, str]) -> list[str]:
        """Cancel queued runs whose deployment or user is deleted; return their ids.

        `which` is a query for their ids, some at a time: see `orphans.py`.
        """
        async with self._db.write(notify=False) as session:
            found = (await session.execute(which, values)).scalars().all()
            abandoned = [
                run_from_row(row) for row in await _change(session, sql.CANCEL_ABANDONED, found)
            ]
            await self._outbox.ended(session, abandoned)
        for run in abandoned:
            self.notifier.ended(run)
        return [run.id for run in abandoned]

    async def counts(self) -> dict[RunStatus, int]:
        """Return how many runs are queued, and how many are running."""
        async with self._db.read() as session:
            found = {row[0]: row[1] for row in await session.execute(sql.COUNT_UNFINISHED)}
        return {status: found[status] for status in (RunStatus.QUEUED, RunStatus.RUNNING)}

    async def prune(self, before: datetime, *, most: int = sql.BATCH_SIZE) -> int:
        """Delete the oldest finished runs made before a time; return how many those were.

        One small transaction: others get their turn between two of them.
        """
        oldest = sql.oldest_finished(before, most)
        async with self._db.read() as session:
            ids = list((await session.execute(oldest)).scalars())
        if ids:
            deletes: tuple[Executable, ...] = (
                sql.DELETE_PAYLOADS,
                sql.DELETE_EVENTS,
                sql.DELETE_RUNS,
            )
            async with self._db.write(notify=False) as session:
                for statement in deletes:
                    await session.execute(statement, {"run_ids": ids})
        return len(ids)


# Any: the columns that the statement returns
async def _change(
    session: AsyncSession, statement: Executable, run_ids: Sequence[str]
) -> Sequence[Row[Any]]:
    """Return the rows that a statement about these runs returns; without any, ask nothing."""
    if not run_ids:
        return ()
    return (await session.execute(statement, {"run_ids": run_ids})).all()
