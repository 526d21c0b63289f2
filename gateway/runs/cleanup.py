"""Cleanup: runs of deleted deployments and users, and unused versions."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import sqlalchemy as sa

from gateway.deployments.settings import DeploymentStatus, RunsOnDelete
from gateway.runs.rows import RUNS
from gateway.runs.run import RunStatus
from gateway.runs.statements import is_in
from gateway.runs.store import RunStore
from gateway.runs.sweep_queries import BATCH_SIZE
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import in_list, sql_literal
from gateway.storage.tables import Deployment, DeploymentVersion

_GRACE = timedelta(minutes=1)
"""After a deletion, until all processes reject runs of the deployment."""

_DEPLOYMENTS = cast("sa.Table", Deployment.__table__)
_VERSIONS = cast("sa.Table", DeploymentVersion.__table__)

_DELETED = _DEPLOYMENTS.c.status == sql_literal(DeploymentStatus.DELETED)
_IN_USE = sa.exists().where(
    _DEPLOYMENTS.c.id == RUNS.c.deployment_id,
    _DEPLOYMENTS.c.status != sql_literal(DeploymentStatus.DELETED),
)

_NOT_BEGUN = (is_in(RunStatus.QUEUED), RUNS.c.attempt == 0)
"""A requeued run has an attempt and counts as started."""


def _not_begun(*which: sa.ColumnElement[bool]) -> sa.Select[str]:
    return (
        sa.select(RUNS.c.id)
        .where(*which, *_NOT_BEGUN)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )


class _OwnerQueries:
    """Queries for the runs of one deployment or one user."""

    def __init__(self, column: sa.Column[str]) -> None:
        # Repeats the condition of the partial indexes by status.
        these = column == sa.bindparam("of"), RUNS.c.status != sql_literal(RunStatus.COMPLETED)
        unfinished = sa.or_(is_in(RunStatus.RUNNING), is_in(RunStatus.QUEUED))
        self.not_begun = _not_begun(*these)
        self.started = sa.select(RUNS.c.id).where(*these, unfinished)
        """Asked when those that have not begun are cancelled."""


_OF_DEPLOYMENT, _OF_USER = _OwnerQueries(RUNS.c.deployment_id), _OwnerQueries(RUNS.c.profile_id)
_OF_NONE_IN_USE = _not_begun(sa.not_(_IN_USE), sa.not_(RUNS.c.test))
"""Queued runs whose deployment is deleted, or was deleted with its user."""


def _unfinished(status: RunStatus) -> sa.Exists:
    """Return the condition that a deployment has a run in this state."""
    return sa.exists().where(
        RUNS.c.deployment_id == _DEPLOYMENTS.c.id,
        RUNS.c.status != sql_literal(RunStatus.COMPLETED),
        is_in(status),
    )


UNUSED = (
    sa.select(_DEPLOYMENTS.c.id)
    .where(
        _DELETED,
        _DEPLOYMENTS.c.updated_at < sa.bindparam("before"),
        sa.exists().where(_VERSIONS.c.deployment_id == _DEPLOYMENTS.c.id),
        sa.not_(_unfinished(RunStatus.QUEUED)),
        sa.not_(_unfinished(RunStatus.RUNNING)),
    )
    .limit(BATCH_SIZE)
)
"""Deleted deployments with versions that no run needs."""

_DELETE_VERSIONS = sa.delete(_VERSIONS).where(in_list(_VERSIONS.c.deployment_id, "ids"))


class DeletedOwnerCleanup:
    """Ends runs whose deployment or user is deleted. All steps are idempotent and concurrent."""

    def __init__(self, db: Database, store: RunStore) -> None:
        self._db = db
        self._store = store

    async def cancel_runs(self, deployment_id: str, then: RunsOnDelete) -> None:
        """Cancel the queued runs of a deployment, and with CANCEL also the running ones."""
        await self._end(_OF_DEPLOYMENT, deployment_id, running=then is RunsOnDelete.CANCEL)

    async def cancel_runs_of_user(self, profile_id: str) -> None:
        """Cancel the queued and running runs of a user."""
        await self._end(_OF_USER, profile_id, running=True)

    async def sweep(self) -> None:
        """Cancel queued runs of deleted deployments, and delete versions that no run needs.

        Finds runs accepted before a deletion reached all processes, or if it was interrupted.
        """
        await self._store.cancel_abandoned(_OF_NONE_IN_USE, {})
        async with self._db.read() as session:
            found = await session.execute(UNUSED, {"before": now() - _GRACE})
            ids = list(found.scalars())
        if ids:
            async with self._db.write() as session:
                await session.execute(_DELETE_VERSIONS, {"ids": ids})

    async def _end(self, those: _OwnerQueries, of: str, *, running: bool) -> None:
        while await self._store.cancel_abandoned(those.not_begun, {"of": of}):
            pass
        if not running:
            return
        async with self._db.read() as session:
            run_ids = list((await session.execute(those.started, {"of": of})).scalars())
        for run_id in run_ids:
            await self._store.request_cancel(run_id)
