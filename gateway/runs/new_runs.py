"""Inserts of new runs, and the concurrency limits that they are subject to.

Concurrency is counted from the rows, so no counter can leak: queued runs count, and running ones
whose lease is valid. A run whose lease has ended no longer counts, as its process is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.limits.policy import ConcurrencyLimit, quota_exceeded
from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.rows import RUNS
from gateway.runs.run import MAX_INPUT_BYTES, NewRun, Run, RunStatus
from gateway.runs.statements import is_in
from gateway.storage.clock import now
from gateway.storage.sql import advisory_lock, seconds_from_now, sql_literal
from protos.errors import ErrorCode

_HAND_OVER_SECONDS = 5.0
"""Time for the creator to hand a run over before the sweep does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInsert:
    """The rows of a new run: queued, or running and claimed by its creator."""

    new: NewRun
    started: bool
    row: rows.RowValues
    payload: rows.RowValues

    @property
    def stored_bytes(self) -> int:
        """What the run counts in the storage quotas."""
        size: int = self.row["stored_bytes"]
        return size


def build_insert(new: NewRun, owner: str | None, lease_seconds: float) -> RunInsert:
    """Build the rows of a run; without `owner` it is queued.

    Raises:
        GatewayError: PAYLOAD_TOO_LARGE.
    """
    _check_size(new)
    queued = owner is None
    values = {
        **rows.new_values(new),
        "status": RunStatus.QUEUED if queued else RunStatus.RUNNING,
        "attempt": 0 if queued else 1,
        "lease_owner": owner,
        "due_seconds": _HAND_OVER_SECONDS if queued else None,
        "queue_seconds": new.queue_timeout_seconds,
        "lease_seconds": None if queued else lease_seconds,
        "start_seconds": None if queued else 0.0,
    }
    return RunInsert(new=new, started=not queued, row=values, payload=rows.payload_values(new))


async def insert_runs(session: AsyncSession, inserts: Sequence[RunInsert]) -> list[Run]:
    """Insert runs; return those that are started."""
    await session.execute(sql.INSERT, [insert.row for insert in inserts])
    await session.execute(sql.INSERT_PAYLOAD, [insert.payload for insert in inserts])
    await insert_labels(session, [insert.new for insert in inserts])
    return [rows.new_run(one.new, now=now(), started=True) for one in inserts if one.started]


async def insert_labels(session: AsyncSession, new: Sequence[NewRun]) -> None:
    """Insert the labels of runs that were just inserted, with one statement, or none."""
    labels = rows.label_values(new)
    if labels:
        statement = sql.insert_labels(session.get_bind().dialect.name)
        run_ids = list({label["run_id"] for label in labels})
        values = {"run_ids": run_ids, "labels": orjson.dumps(labels).decode()}
        await session.execute(statement, values)


def _check_size(new: NewRun) -> None:
    size = len(new.input_data or b"")
    if size > MAX_INPUT_BYTES:
        message = (
            f"input_data: expected at most {MAX_INPUT_BYTES} bytes for a recorded run, got {size}"
        )
        raise GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


_RETRY_SECONDS = 1.0
"""The end of a run cannot be predicted."""

_SUBJECT = sa.bindparam("subject", type_=sa.String())
_LIMIT = sa.bindparam("limit", type_=sa.Integer())
_HELD = sa.and_(is_in(RunStatus.RUNNING), RUNS.c.lease_until >= seconds_from_now())


def _count_unfinished(column: sa.Column[str], *more: sa.ColumnElement[bool]) -> sa.Select[int]:
    """Return the query that counts unfinished runs, up to `limit` of them."""
    # Repeats the condition of the partial index of runs by deployment and state.
    unfinished = (
        sa.select(RUNS.c.id)
        .where(
            column == _SUBJECT,
            RUNS.c.status != sql_literal(RunStatus.COMPLETED),
            sa.or_(is_in(RunStatus.QUEUED), _HELD),
            *more,
        )
        .limit(_LIMIT)
    )
    return sa.select(sa.func.count()).select_from(unfinished.subquery())


_COUNTS = {
    "key": _count_unfinished(RUNS.c.key_id),
    "deployment": _count_unfinished(RUNS.c.deployment_id),
    "tests": _count_unfinished(RUNS.c.profile_id, RUNS.c.test),
}


async def check_concurrency_limits(
    session: AsyncSession, concurrency_limits: Sequence[ConcurrencyLimit]
) -> None:
    """Check that one more run may start. Locks the limits until the end of the transaction.

    Raises:
        GatewayError: TOO_MANY_RUNS.
    """
    for cap in concurrency_limits:
        await advisory_lock(session, f"slots {cap.kind} {cap.id}")
        values = {"subject": cap.id, "limit": cap.policy.quota}
        count = (await session.execute(_COUNTS[cap.kind], values)).scalar_one()
        if count >= cap.policy.quota:
            raise quota_exceeded([cap.policy], _RETRY_SECONDS)
