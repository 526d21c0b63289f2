"""The statements of the sweep: hand over again, reap, give up, prune. See `sweeps.py`.

Each takes a bounded number of rows, and passes over those that another sweep has at the moment.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from gateway.ids import min_run_id
from gateway.runs.rows import EVENTS, PAYLOADS, RUNS
from gateway.runs.run import FailureCode, RunStatus
from gateway.runs.statements import is_in, is_now
from gateway.storage.sql import in_list, seconds_from_now, sql_literal

BATCH_SIZE = 500
"""Runs that one statement deals with."""

_QUEUED, _RUNNING = is_in(RunStatus.QUEUED), is_in(RunStatus.RUNNING)
_RELEASED = {"lease_owner": sa.null(), "lease_until": sa.null()}
_THESE = in_list(RUNS.c.id, "run_ids")

DUE = (
    sa.select(RUNS.c.id, RUNS.c.type, RUNS.c.mode)
    .where(
        _QUEUED,
        RUNS.c.type == sa.bindparam("type"),
        RUNS.c.due_at <= seconds_from_now(sa.bindparam("late_seconds", type_=sa.Float())),
    )
    .order_by(RUNS.c.due_at)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)

MARK_PUBLISHED = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.QUEUED))
    .values(due_at=seconds_from_now(sa.bindparam("again_seconds", type_=sa.Float())))
)

_MAY_BEGIN_AGAIN = sa.and_(
    RUNS.c.retry_safe,
    RUNS.c.attempt < RUNS.c.max_attempts,
    sa.not_(RUNS.c.cancel_requested),
)

# First picked and locked, then changed by id: in one statement, PostgreSQL would rather read the
# whole table. And mostly there is nothing to change.
LEASE_EXPIRED = (
    sa.select(RUNS.c.id, _MAY_BEGIN_AGAIN.label("again"))
    .where(
        _RUNNING,
        RUNS.c.lease_until < seconds_from_now(sa.bindparam("grace_seconds", type_=sa.Float())),
    )
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)

REQUEUE = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.RUNNING))
    .values(
        status=sql_literal(RunStatus.QUEUED),
        due_at=seconds_from_now(),
        queue_until=sa.null(),  # it had begun in time
        started_at=sa.null(),
        **_RELEASED,
    )
    .returning(RUNS.c.id, RUNS.c.type, RUNS.c.mode)
)

_CANCELLED = RUNS.c.cancel_requested
FAIL_LOST = (
    sa.update(RUNS)
    .where(_THESE, is_now(RunStatus.RUNNING))
    .values(
        status=sa.case(
            (_CANCELLED, sql_literal(RunStatus.CANCELLED)), else_=sql_literal(RunStatus.FAILED)
        ),
        error_code=sa.case(
            (_CANCELLED, sql_literal(FailureCode.CANCELLED)),
            else_=sql_literal(FailureCode.WORKER_LOST),
        ),
        error_message=sql_literal("the process that the run was in is gone"),
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
        error_message=sql_literal("nobody has begun with the run in the time that it may wait"),
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
        error_code=sql_literal(FailureCode.CANCELLED),
        error_message=sql_literal("the deployment was deleted before the run had begun"),
        finished_at=seconds_from_now(),
    )
    .returning(RUNS)
)

COUNT_UNFINISHED = sa.union_all(
    sa.select(sql_literal(RunStatus.QUEUED), sa.func.count()).select_from(RUNS).where(_QUEUED),
    sa.select(sql_literal(RunStatus.RUNNING), sa.func.count()).select_from(RUNS).where(_RUNNING),
)
"""Runs that have not ended, by state: two counts in partial indexes."""

DELETE_PAYLOADS = sa.delete(PAYLOADS).where(in_list(PAYLOADS.c.run_id, "run_ids"))
DELETE_EVENTS = sa.delete(EVENTS).where(in_list(EVENTS.c.run_id, "run_ids"))
DELETE_RUNS = sa.delete(RUNS).where(_THESE, RUNS.c.finished_at.is_not(None))


def oldest_finished(before: datetime, most: int) -> sa.Select[str]:
    """Return the query for the ids of the oldest finished runs that were made before a time."""
    return (
        sa.select(RUNS.c.id)
        .where(
            RUNS.c.id < min_run_id(before),
            RUNS.c.created_at < before,
            RUNS.c.finished_at.is_not(None),
        )
        .order_by(RUNS.c.id)
        .limit(most)
    )
