"""What becomes of the runs of a deployment or user that is deleted, and then of its versions."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import sqlalchemy as sa

from gateway.deployments.settings import DeploymentStatus
from gateway.runs.rows import RUNS
from gateway.runs.run import RunStatus
from gateway.runs.statements import is_in
from gateway.runs.store import RunStore
from gateway.runs.sweep_statements import BATCH_SIZE
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import in_list, sql_literal
from gateway.storage.tables import Deployment, DeploymentVersion

_GRACE = timedelta(minutes=1)
"""After a deletion, until every process has heard of it and accepts no run any more."""

_DEPLOYMENTS = cast("sa.Table", Deployment.__table__)
_VERSIONS = cast("sa.Table", DeploymentVersion.__table__)

_DELETED = _DEPLOYMENTS.c.status == sql_literal(DeploymentStatus.DELETED)
_IN_USE = sa.exists().where(
    _DEPLOYMENTS.c.id == RUNS.c.deployment_id,
    _DEPLOYMENTS.c.status != sql_literal(DeploymentStatus.DELETED),
)

_NOT_BEGUN = (is_in(RunStatus.QUEUED), RUNS.c.attempt == 0)
"""One that waits to begin again, as its worker was lost, has begun."""


def _not_begun(*which: sa.ColumnElement[bool]) -> sa.Select[str]:
    return (
        sa.select(RUNS.c.id)
        .where(*which, *_NOT_BEGUN)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )


class _OwnerQueries:
    """The runs of one deployment, or of one user."""

    def __init__(self, column: sa.Column[str]) -> None:
        # the condition of the indexes by status
        these = column == sa.bindparam("of"), RUNS.c.status != sql_literal(RunStatus.COMPLETED)
        unfinished = sa.or_(is_in(RunStatus.RUNNING), is_in(RunStatus.QUEUED))
        self.not_begun = _not_begun(*these)
        self.begun = sa.select(RUNS.c.id).where(*these, unfinished)
        """Asked when those that have not begun are cancelled."""


_OF_DEPLOYMENT, _OF_USER = _OwnerQueries(RUNS.c.deployment_id), _OwnerQueries(RUNS.c.profile_id)
_OF_NONE_IN_USE = _not_begun(sa.not_(_IN_USE))
"""Whose deployment is deleted, or gone with its user."""


def _unfinished(status: RunStatus) -> sa.Exists:
    """Return the condition that a deployment has a run that is like this."""
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
"""Deleted deployments whose versions nobody needs any more."""

_DELETE_VERSIONS = sa.delete(_VERSIONS).where(in_list(_VERSIONS.c.deployment_id, "ids"))


class DeletedOwnerCleanup:
    """Ends runs whose deployment or user is deleted. Each step may be repeated, by many at once."""

    def __init__(self, db: Database, store: RunStore) -> None:
        self._db = db
        self._store = store

    async def end_runs_of_deployment(self, deployment_id: str, *, running: bool) -> None:
        """Cancel the queued runs of a deployment; with `running`, have the others stopped, too."""
        await self._end(_OF_DEPLOYMENT, deployment_id, running=running)

    async def end_runs_of_user(self, profile_id: str) -> None:
        """Cancel the queued runs of a user, and have the others stopped."""
        await self._end(_OF_USER, profile_id, running=True)

    async def sweep(self) -> None:
        """Cancel queued runs of what is deleted, and forget versions that none needs any more.

        Finds what came in while a deletion had not reached every process yet, or was cut off.
        """
        await self._store.cancel_abandoned(_OF_NONE_IN_USE, {})
        async with self._db.read() as session:
            found = await session.execute(UNUSED, {"before": now() - _GRACE})
            ids = list(found.scalars())
        if ids:
            async with self._db.write(notify=False) as session:
                await session.execute(_DELETE_VERSIONS, {"ids": ids})

    async def _end(self, those: _OwnerQueries, of: str, *, running: bool) -> None:
        while await self._store.cancel_abandoned(those.not_begun, {"of": of}):
            pass
        if not running:
            return
        async with self._db.read() as session:
            run_ids = list((await session.execute(those.begun, {"of": of})).scalars())
        for run_id in run_ids:
            await self._store.request_cancel(run_id)
