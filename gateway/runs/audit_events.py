"""Audit events of runs that were cancelled, retried or deleted with a `manage` key."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.runs.queries import RunFilter
from gateway.runs.run import NewRun, Run
from gateway.storage.audit_events import AuditTarget, record_event


async def record_run_cancelled(session: AsyncSession, before: Run, after: Run) -> None:
    """Record, in the caller's transaction, a cancellation or the request of one."""
    await record_event(
        session,
        action="run.cancel",
        target_kind=AuditTarget.RUN,
        target_id=after.id,
        before={"status": before.shown_status},
        after={"status": after.shown_status},
        owner_id=after.profile_id,
    )


async def record_run_retried(session: AsyncSession, new: NewRun) -> None:
    """Record, in the caller's transaction, that a run was retried by `new`."""
    await record_event(
        session,
        action="run.retry",
        target_kind=AuditTarget.RUN,
        target_id=new.id,
        after={
            "retry_of": new.retry_of,
            "deployment_id": new.deployment_id,
            "version": new.version,
        },
        owner_id=new.profile_id,
    )


async def record_runs_deleted(session: AsyncSession, run_filter: RunFilter, number: int) -> None:
    """Record, in the caller's transaction, that runs of a profile were deleted."""
    await record_event(
        session,
        action="run.delete",
        target_kind=AuditTarget.RUN,
        target_id=run_filter.deployment_id or run_filter.profile_id,
        before={
            "runs": number,
            "deployment_id": run_filter.deployment_id,
            "status": run_filter.status,
            "to": run_filter.before,
        },
        owner_id=run_filter.profile_id,
    )
