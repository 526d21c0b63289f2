"""What the trail tells of runs: that somebody who manages has stopped or repeated one."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.runs.run import NewRun, Run
from gateway.storage.trail import Subject, record_act


async def record_cancel(session: AsyncSession, before: Run, after: Run) -> None:
    """Record, in the caller's transaction, that a run was cancelled, or is to be."""
    await record_act(
        session,
        action="run.cancel",
        subject_kind=Subject.RUN,
        subject_id=after.id,
        before={"status": before.shown_status},
        after={"status": after.shown_status},
        owner_id=after.profile_id,
    )


async def record_retry(session: AsyncSession, new: NewRun) -> None:
    """Record, in the caller's transaction, that a run was repeated, by `new`."""
    await record_act(
        session,
        action="run.retry",
        subject_kind=Subject.RUN,
        subject_id=new.id,
        after={
            "retry_of": new.retry_of,
            "deployment_id": new.deployment_id,
            "version": new.version,
        },
        owner_id=new.profile_id,
    )
