"""Periodic maintenance of runs: publish again, reap, expire, cancel, prune.

Each statement handles a bounded number of rows and skips rows locked by a concurrent sweep, so all
gateways may sweep at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Executable, Row, Select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import min_run_id
from gateway.runs.rows import (
    DRAFTS,
    EVENTS,
    LABELS,
    PAYLOADS,
    RUNS,
    held_params,
    queued_run,
    run_from_row,
)
from gateway.runs.run import Backlog, FailureCode, QueuedRun, ReapResult, Run, RunStatus
from gateway.runs.run_notifier import RunNotifier
from gateway.runs.statements import IS_HELD, is_in, is_now
from gateway.storage.database import Database
from gateway.storage.pruning import BATCH_ROWS, ids_of_batch
from gateway.storage.sql import advisory_lock, in_list, seconds_from_now, sql_literal
from gateway.webhooks.outbox import WebhookOutbox

BATCH_SIZE = BATCH_ROWS
"""Rows per statement."""

_QUEUED, _RUNNING = is_in(RunStatus.QUEUED), is_in(RunStatus.RUNNING)
_RELEASED = {"lease_owner": sa.null(), "lease_until": sa.null()}
_THESE = in_list(RUNS.c.id, "run_ids")

_NOT_SENT_SECONDS = 3600.0
"""For which a run counts as due that the broker has no message of: it goes before all others."""

DUE = (
    sa.select(RUNS.c.id, RUNS.c.type, RUNS.c.mode)
    .where(
        _QUEUED,
        RUNS.c.type == sa.bindparam("type"),
        RUNS.c.due_at <= seconds_from_now(sa.bindparam("late_seconds", type_=sa.Float())),
    )
    .order_by(RUNS.c.due_at)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
DUE_IN_MODE = DUE.where(RUNS.c.mode == sa.bindparam("mode"))

COUNT_QUEUED = sa.select(sa.func.count()).select_from(
    sa.select(RUNS.c.id)
    .where(
        _QUEUED,
        RUNS.c.type == sql_literal(DeploymentType.API),
        RUNS.c.mode == sa.bindparam("mode"),
    )
    .limit(sa.bindparam("limit", type_=sa.Integer()))
    .subquery()
)

_MAKE_DUE = sa.update(RUNS).where(_THESE, is_now(RunStatus.QUEUED))
MARK_PUBLISHED = _MAKE_DUE.values(
    due_at=sa.case(
        (RUNS.c.created_at > seconds_from_now(-10), seconds_from_now(3)),
        (RUNS.c.created_at > seconds_from_now(-60), seconds_from_now(10)),
        else_=seconds_from_now(30),
    )
)
"""A broker that loses its messages delays young runs by seconds. Old ones are likely to wait as
there are many."""
MAKE_DUE = _MAKE_DUE.values(due_at=seconds_from_now(sa.bindparam("seconds", type_=sa.Float())))

_MAY_REPEAT = sa.and_(RUNS.c.retry_safe, sa.not_(RUNS.c.cancel_requested))
_MAY_RETRY = sa.and_(_MAY_REPEAT, RUNS.c.attempt < RUNS.c.max_attempts)


def _to_release(condition: sa.ColumnElement[bool]) -> Select[tuple[str, bool]]:
    """Select and lock running runs, which are then updated by id.

    For a single statement, PostgreSQL would choose a sequential scan. Usually there are none.
    """
    return (
        sa.select(RUNS.c.id, _MAY_RETRY.label("retry"))
        .where(_RUNNING, condition)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )


LEASE_EXPIRED = _to_release(
    RUNS.c.lease_until < seconds_from_now(sa.bindparam("grace_seconds", type_=sa.Float()))
)
OF_OWNERS = _to_release(in_list(RUNS.c.lease_owner, "owners"))
OWNERS = sa.select(RUNS.c.lease_owner).where(_RUNNING).distinct()

HELD = sa.select(RUNS.c.id, _MAY_REPEAT.label("retry")).where(IS_HELD).with_for_update()

REQUEUE = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.RUNNING))
    .values(
        status=sql_literal(RunStatus.QUEUED),
        due_at=seconds_from_now(-_NOT_SENT_SECONDS),
        queue_until=sa.null(),  # the run has already started in time
        started_at=sa.null(),
        **_RELEASED,
    )
    .returning(RUNS.c.id, RUNS.c.type, RUNS.c.mode)
)

# A shutdown says nothing about the run.
HAND_BACK = REQUEUE.values(max_attempts=RUNS.c.max_attempts + 1)

_LOST = {
    "failed_with": FailureCode.WORKER_LOST.value,
    "failed_because": "the process that executed the run is gone",
}
_SHUT_DOWN = {
    "failed_with": FailureCode.CANCELLED_BY_SHUTDOWN.value,
    "failed_because": (
        "the process that executed the run was shut down before it ended, and the deployment is "
        "not retry-safe"
    ),
}

_CANCELLED = RUNS.c.cancel_requested
FAIL_RUNNING = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.RUNNING))
    .values(
        status=sa.case(
            (_CANCELLED, sql_literal(RunStatus.CANCELLED)), else_=sql_literal(RunStatus.FAILED)
        ),
        error_code=sa.case(
            (_CANCELLED, sql_literal(FailureCode.CANCELLED)), else_=sa.bindparam("failed_with")
        ),
        error_message=sa.bindparam("failed_because"),
        finished_at=seconds_from_now(),
        **_RELEASED,
    )
    .returning(RUNS)
)

QUEUE_EXPIRED = (
    sa.select(RUNS.c.id)
    .where(_QUEUED, RUNS.c.queue_until.is_not(None), RUNS.c.queue_until < seconds_from_now())
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)

FAIL_EXPIRED = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.QUEUED))
    .values(
        status=sql_literal(RunStatus.FAILED),
        error_code=sql_literal(FailureCode.QUEUE_TIMEOUT),
        error_message=sql_literal("the run was not started within its queue timeout"),
        finished_at=seconds_from_now(),
    )
    .returning(RUNS)
)

CANCEL_ABANDONED = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.QUEUED))
    .values(
        status=sql_literal(RunStatus.CANCELLED),
        cancel_requested=sa.true(),
        cancel_requested_at=seconds_from_now(),
        error_code=sql_literal(FailureCode.CANCELLED),
        error_message=sql_literal("the deployment was deleted before the run started"),
        finished_at=seconds_from_now(),
    )
    .returning(RUNS)
)

COUNT_UNFINISHED = sa.union_all(
    sa.select(sql_literal(RunStatus.QUEUED), sa.func.count()).select_from(RUNS).where(_QUEUED),
    sa.select(sql_literal(RunStatus.RUNNING), sa.func.count()).select_from(RUNS).where(_RUNNING),
)
"""Unfinished runs by state: two counts of partial indexes."""

COUNT_BACKLOG = (
    sa.select(
        RUNS.c.deployment_id,
        RUNS.c.mode,
        RUNS.c.type,
        sa.func.count().label("runs"),
        sa.func.min(RUNS.c.created_at).label("since"),
        seconds_from_now().label("now"),
    )
    .where(_QUEUED, sa.not_(RUNS.c.test))
    .group_by(RUNS.c.deployment_id, RUNS.c.mode, RUNS.c.type)
)
"""Queued runs by deployment: it reads the rows of all of them."""

DELETE_PAYLOADS = sa.delete(PAYLOADS).where(in_list(PAYLOADS.c.run_id, "run_ids"))
DELETE_EVENTS = sa.delete(EVENTS).where(in_list(EVENTS.c.run_id, "run_ids"))
DELETE_DRAFTS = sa.delete(DRAFTS).where(in_list(DRAFTS.c.run_id, "run_ids"))
DELETE_LABELS = sa.delete(LABELS).where(in_list(LABELS.c.id, "run_ids"))
DELETE_RUNS = (
    sa.delete(RUNS)
    .where(_THESE, RUNS.c.finished_at.is_not(None))
    .returning(RUNS.c.id, RUNS.c.labels.is_not(None).label("has_labels"))
)


def oldest_finished(before: datetime, limit: int) -> sa.Select[str, int]:
    """Return the query for the oldest finished runs created before a time: ids and sizes."""
    return (
        sa.select(RUNS.c.id, RUNS.c.stored_bytes)
        .where(
            RUNS.c.id < min_run_id(before),
            RUNS.c.created_at < before,
            RUNS.c.finished_at.is_not(None),
        )
        .order_by(RUNS.c.id)
        .limit(limit)
    )


def oldest_tests(before: datetime, limit: int) -> sa.Select[str, int]:
    """Return the query for the oldest finished test runs created before a time, as above.

    With those whose run an older release has deleted, which knows no drafts.
    """
    stored_bytes = sa.func.coalesce(RUNS.c.stored_bytes, 0).label("stored_bytes")
    return (
        sa.select(DRAFTS.c.run_id.label("id"), stored_bytes)
        .outerjoin(RUNS, RUNS.c.id == DRAFTS.c.run_id)
        .where(
            DRAFTS.c.run_id < min_run_id(before),
            sa.or_(RUNS.c.id.is_(None), RUNS.c.finished_at.is_not(None)),
        )
        .order_by(DRAFTS.c.run_id)
        .limit(limit)
    )


class SweepQueries:
    """The part of RunStore that the sweep calls. All methods are idempotent."""

    def __init__(self, db: Database, notifier: RunNotifier, outbox: WebhookOutbox | None) -> None:
        self._db = db
        self._outbox = outbox
        self.notifier = notifier
        # Two statements about several rows could wait for each other's. Those of this process take
        # turns; a renewal of leases never waits for a claim, whose rows another process may lock.
        self._queued_turn = asyncio.Lock()
        self._held_turn = asyncio.Lock()

    async def _write_started(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        if self._outbox is not None and runs:
            await self._outbox.started(session, runs)

    async def _write_ended(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        if self._outbox is not None and runs:
            await self._outbox.ended(session, runs)

    async def due_for_publishing(
        self,
        type_: DeploymentType,
        mode: ExecutionMode | None = None,
        *,
        older_than: float = 0.0,
        limit: int = 500,
    ) -> list[QueuedRun]:
        """Return queued runs that are due to be handed over again, the longest due first.

        Of one mode, or of all.

        A run is due a few seconds after its creation and after each `mark_published`, and at once
        after it was requeued; `older_than` adds seconds to that. One that was requeued has been due
        for long then, as the broker has no message of it.
        """
        values = {"type": type_, "late_seconds": -older_than, "limit": limit}
        statement = DUE
        if mode is not None:
            statement, values["mode"] = DUE_IN_MODE, mode
        async with self._db.read() as session:
            return [queued_run(row) for row in await session.execute(statement, values)]

    async def count_queued(self, mode: ExecutionMode, *, at_most: int) -> int:
        """Return how many runs of workers are queued in a mode, up to `at_most`."""
        async with self._db.read() as session:
            found = await session.execute(COUNT_QUEUED, {"mode": mode, "limit": at_most})
            count: int = found.scalar_one()
        return count

    async def mark_published(self, run_ids: Sequence[str]) -> None:
        """Make runs that were handed over due again, in 3 to 30 s: the later the older they are."""
        async with self._queued_turn, self._db.write() as session:
            await session.execute(MARK_PUBLISHED, {"run_ids": run_ids})

    async def make_due(self, run_ids: Sequence[str], *, seconds: float = 0.0) -> None:
        """Make queued runs due in so many seconds: other processes hand them over then."""
        async with self._queued_turn, self._db.write() as session:
            await session.execute(MAKE_DUE, {"run_ids": run_ids, "seconds": seconds})

    async def lease_owners(self) -> Sequence[str]:
        """Return the names of the processes that hold runs."""
        async with self._db.read() as session:
            return (await session.execute(OWNERS)).scalars().all()

    async def reap(self, *, grace: float = 0.0, ended_owners: Sequence[str] = ()) -> ReapResult:
        """Requeue, fail or cancel runs whose lease ended at least `grace` seconds ago.

        The same happens at once to the runs of `ended_owners`, processes known to have ended.
        Runs are requeued if they are retry-safe and were not lost before, and otherwise fail with
        `worker_lost`; runs with a requested cancellation are cancelled. After the database was
        away, `grace` must give live processes the time to renew their leases.
        """
        async with self._db.write() as session:
            late = (await session.execute(LEASE_EXPIRED, {"grace_seconds": -grace})).all()
            if ended_owners:
                orphaned = await session.execute(OF_OWNERS, {"owners": ended_owners})
                late = list({row.id: row for row in [*late, *orphaned]}.values())
            requeued, lost = await self._release(session, late, REQUEUE, _LOST)
        return self._released(requeued, lost)

    async def hand_back(self, held: Sequence[tuple[str, int]]) -> ReapResult:
        """Release runs, as (id, attempt), that this process stops executing because it shuts down.

        The rules of `reap` apply, but the attempt does not count, and those that cannot be repeated
        fail with `cancelled_by_shutdown`. Runs of which the lease is lost are not changed.
        """
        async with self._held_turn, self._db.write() as session:
            found = (await session.execute(HELD, held_params(held))).all()
            requeued, lost = await self._release(session, found, HAND_BACK, _SHUT_DOWN)
        return self._released(requeued, lost)

    # Any: the columns that the statements return
    async def _release(
        self,
        session: AsyncSession,
        found: Sequence[Row[Any]],
        requeue: Executable,
        failure: Mapping[str, str],
    ) -> tuple[Sequence[Row[Any]], list[Run]]:
        """Requeue the runs that may be repeated and fail the others."""
        requeued = await _change(session, requeue, [row.id for row in found if row.retry])
        others = [row.id for row in found if not row.retry]
        failed = await _change(session, FAIL_RUNNING, others, failure)
        lost = [run_from_row(row) for row in failed]
        await self._write_ended(session, lost)
        return requeued, lost

    def _released(self, requeued: Sequence[Row[Any]], lost: Sequence[Run]) -> ReapResult:
        """Notify, after the commit."""
        for row in requeued:
            self.notifier.changed(row.id)
        for run in lost:
            self.notifier.ended(run)
        return ReapResult(
            requeued=tuple(queued_run(row) for row in requeued), lost=tuple(run.id for run in lost)
        )

    async def expire_queued(self) -> list[str]:
        """Fail runs past their queue timeout; return their ids."""
        async with self._db.write() as session:
            late = (await session.execute(QUEUE_EXPIRED)).scalars().all()
            expired = [run_from_row(row) for row in await _change(session, FAIL_EXPIRED, late)]
            await self._write_ended(session, expired)
        for run in expired:
            self.notifier.ended(run)
        return [run.id for run in expired]

    async def cancel_abandoned(self, which: Select[str], values: Mapping[str, str]) -> list[str]:
        """Cancel queued runs whose deployment or user is deleted; return their ids.

        `which` is a query for a batch of their ids, see `cleanup.py`.
        """
        async with self._db.write() as session:
            found = (await session.execute(which, values)).scalars().all()
            abandoned = [
                run_from_row(row) for row in await _change(session, CANCEL_ABANDONED, found)
            ]
            await self._write_ended(session, abandoned)
        for run in abandoned:
            self.notifier.ended(run)
        return [run.id for run in abandoned]

    async def counts(self) -> dict[RunStatus, int]:
        """Return the number of queued and of running runs."""
        async with self._db.read() as session:
            found = {row[0]: row[1] for row in await session.execute(COUNT_UNFINISHED)}
        return {status: found[status] for status in (RunStatus.QUEUED, RunStatus.RUNNING)}

    async def backlog(self) -> Sequence[Backlog]:
        """Return the queued runs by deployment, without test runs."""
        async with self._db.read() as session:
            return [
                Backlog(
                    deployment_id=row.deployment_id,
                    mode=row.mode,
                    type=row.type,
                    runs=row.runs,
                    oldest_seconds=max(0.0, (row.now - row.since).total_seconds()),
                )
                for row in await session.execute(COUNT_BACKLOG)
            ]

    async def prune(self, before: datetime, *, limit: int = BATCH_SIZE) -> int:
        """Delete the oldest finished runs created before a time; return their number.

        Each call is one small transaction, so that others can write in between.
        """
        return await self._prune(oldest_finished(before, limit))

    async def prune_tests(self, before: datetime, *, limit: int = BATCH_SIZE) -> int:
        """Delete the oldest finished test runs created before a time, as `prune`."""
        return await self._prune(oldest_tests(before, limit))

    async def _prune(self, oldest: sa.Select[str, int]) -> int:
        async with self._db.read() as session:  # usually there are none: no lock is needed
            if (await session.execute(oldest.limit(1))).first() is None:
                return 0
        async with self._db.write() as session:
            await advisory_lock(session, "retention of runs")
            ids = ids_of_batch(await session.execute(oldest))
            if ids:
                await delete_runs(session, ids)
        return len(ids)


async def delete_runs(session: AsyncSession, run_ids: Sequence[str]) -> None:
    """Delete finished runs with all that belongs to them."""
    for statement in (DELETE_PAYLOADS, DELETE_EVENTS, DELETE_DRAFTS):
        await session.execute(statement, {"run_ids": run_ids})
    deleted = await session.execute(DELETE_RUNS, {"run_ids": run_ids})
    if labelled := [row.id for row in deleted if row.has_labels]:
        await session.execute(DELETE_LABELS, {"run_ids": labelled})


# Any: the columns that the statement returns
async def _change(
    session: AsyncSession,
    statement: Executable,
    run_ids: Sequence[str],
    values: Mapping[str, str] | None = None,
) -> Sequence[Row[Any]]:
    """Execute an update of the given runs and return its rows; without ids, do nothing."""
    if not run_ids:
        return ()
    return (await session.execute(statement, {"run_ids": run_ids, **(values or {})})).all()
