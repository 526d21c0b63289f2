"""Database queries for rehearsals, and for the runs whose inputs they use."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.settings import ExecutionMode
from gateway.rehearsals.progress import Progress, RecordedRun
from gateway.runs.run import FailureCode, RunStatus
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.pruning import BATCH_ROWS
from gateway.storage.rehearsal_tables import Rehearsal
from gateway.storage.run_tables import RunPayload, RunRow
from gateway.storage.sql import seconds_from_now

LEASE_SECONDS = 60.0
"""After which the process that conducts a rehearsal counts as gone: longer than any step takes."""
_EXAMINED_RUNS = 1_000
"""Newest runs of a deployment among which those with a kept input are looked for."""
_ANSWERED_CODES = (
    FailureCode.FLOW_FAILED,
    FailureCode.EVALUATION_LIMIT,
    FailureCode.INVALID_INPUT,
    FailureCode.INVALID_TENSOR,
    FailureCode.NON_FINITE_OUTPUT,
)
"""Errors that the flow causes, which another attempt would cause again."""

_IS_RUNNING = and_(Rehearsal.finished_at.is_(None), Rehearsal.lease_until > seconds_from_now())


class FoundRehearsal(NamedTuple):
    """A rehearsal, and whether it goes on."""

    row: Rehearsal
    is_running: bool


async def find(session: AsyncSession, deployment_id: str) -> FoundRehearsal | None:
    """Return the last rehearsal of a deployment that is kept."""
    statement = select(Rehearsal, _IS_RUNNING).where(Rehearsal.deployment_id == deployment_id)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else FoundRehearsal(found[0], bool(found[1]))


async def count_running(session: AsyncSession, profile_id: str) -> int:
    """Return how many rehearsals of a user go on."""
    statement = select(func.count()).where(Rehearsal.profile_id == profile_id, _IS_RUNNING)
    return int((await session.execute(statement)).scalar_one())


async def replace(session: AsyncSession, row: Rehearsal) -> None:
    """Add a rehearsal in place of the deployment's last one."""
    these = Rehearsal.deployment_id == row.deployment_id
    await session.execute(delete(Rehearsal).where(these))
    session.add(row)
    _tell(session, row.deployment_id, row.profile_id)


async def save(
    session: AsyncSession, rehearsal_id: str, progress: Progress, *, finished: bool
) -> bool:
    """Write how far a rehearsal is; return False if it was cancelled, replaced or deleted."""
    ended = {"finished_at": seconds_from_now()} if finished else {}
    return await _update(
        session,
        rehearsal_id,
        lease_until=seconds_from_now(LEASE_SECONDS),
        done=progress.done,
        equal=progress.equal,
        differing=progress.differing,
        results={"different": progress.different, "failed": progress.failed},
        **ended,
    )


async def cancel(session: AsyncSession, rehearsal_id: str) -> None:
    """End a rehearsal that goes on, with what it has compared."""
    await _update(session, rehearsal_id, finished_at=seconds_from_now())


async def release(session: AsyncSession, rehearsal_id: str) -> None:
    """End the lease of a rehearsal, which its process does not continue."""
    await _update(session, rehearsal_id, lease_until=seconds_from_now())


async def recorded_runs(session: AsyncSession, deployment_id: str, last: int) -> list[RecordedRun]:
    """Return the deployment's last finished runs whose input was kept, oldest first."""
    newest = (
        select(RunRow.id, RunRow.status, RunRow.error_code, RunRow.mode, RunRow.created_at)
        .where(RunRow.deployment_id == deployment_id)
        .order_by(RunRow.created_at.desc(), RunRow.id.desc())
        .limit(_EXAMINED_RUNS)
        .subquery()
    )
    answered = (newest.c.status == RunStatus.COMPLETED) | (newest.c.error_code.in_(_ANSWERED_CODES))
    statement = (
        select(newest.c.id, newest.c.error_code)
        .join(RunPayload, RunPayload.run_id == newest.c.id)
        .where(answered, newest.c.mode != ExecutionMode.FAST, RunPayload.input.is_not(None))
        .order_by(newest.c.created_at.desc(), newest.c.id.desc())
        .limit(last)
    )
    rows = (await session.execute(statement)).all()
    return [RecordedRun(id=row.id, error_code=row.error_code) for row in reversed(rows)]


class KeptRehearsals:
    """Deletes old rehearsals: they have values of runs and tests, which are kept as long."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def prune(self, before: datetime) -> int:
        """See PrunableStore."""
        old = select(Rehearsal.id).where(Rehearsal.created_at < before).limit(BATCH_ROWS)
        statement = delete(Rehearsal).where(Rehearsal.id.in_(old)).returning(Rehearsal.id)
        async with self._db.write() as session:
            return len((await session.execute(statement)).all())


# Any SQL value
async def _update(session: AsyncSession, rehearsal_id: str, **values: object) -> bool:
    statement = (
        update(Rehearsal)
        .where(Rehearsal.id == rehearsal_id, Rehearsal.finished_at.is_(None))
        .values(**values)
        .returning(Rehearsal.deployment_id, Rehearsal.profile_id)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        return False
    _tell(session, found.deployment_id, found.profile_id)
    return True


def _tell(session: AsyncSession, deployment_id: str, profile_id: str) -> None:
    record_change(session, ChangeKind.REHEARSAL, deployment_id, owner_id=profile_id)
