"""What becomes of the runs of a deployment that is deleted, and then of its versions."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import sqlalchemy as sa

from gateway.deployments.modes import Status
from gateway.runs.rows import RUNS
from gateway.runs.run import RunStatus
from gateway.runs.statements import is_in
from gateway.runs.store import RunStore
from gateway.runs.sweep_statements import AT_ONCE
from gateway.storage.among import among
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.literals import literal
from gateway.storage.tables import Deployment, DeploymentVersion

_GRACE = timedelta(minutes=1)
"""After a deletion, until every process has heard of it and accepts no run any more."""

_DEPLOYMENTS = cast("sa.Table", Deployment.__table__)
_VERSIONS = cast("sa.Table", DeploymentVersion.__table__)

_DELETED = _DEPLOYMENTS.c.status == literal(Status.DELETED)
_OF_ONE = (
    RUNS.c.deployment_id == sa.bindparam("deployment_id"),
    RUNS.c.status != literal(RunStatus.COMPLETED),  # the condition of the index by status
)

_NOT_BEGUN = (is_in(RunStatus.QUEUED), RUNS.c.attempt == 0)
"""One that waits to begin again, as its worker was lost, has begun."""

QUEUED_OF = (
    sa.select(RUNS.c.id)
    .where(*_OF_ONE, *_NOT_BEGUN)
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
QUEUED_OF_DELETED = (
    sa.select(RUNS.c.id)
    .where(
        *_NOT_BEGUN,
        sa.exists().where(_DEPLOYMENTS.c.id == RUNS.c.deployment_id, _DELETED),
    )
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True)
)
BEGUN_OF = sa.select(RUNS.c.id).where(
    *_OF_ONE, sa.or_(is_in(RunStatus.RUNNING), is_in(RunStatus.QUEUED))
)
"""Asked when those that have not begun are cancelled."""


def _unfinished(status: RunStatus) -> sa.Exists:
    """Return the condition that a deployment has a run that is like this."""
    return sa.exists().where(
        RUNS.c.deployment_id == _DEPLOYMENTS.c.id,
        RUNS.c.status != literal(RunStatus.COMPLETED),
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
    .limit(AT_ONCE)
)
"""Deleted deployments whose versions nobody needs any more."""

_DELETE_VERSIONS = sa.delete(_VERSIONS).where(among(_VERSIONS.c.deployment_id, "ids"))


class Orphans:
    """Ends runs whose deployment is deleted. Each step may be repeated, and done by many."""

    def __init__(self, db: Database, store: RunStore) -> None:
        self._db = db
        self._store = store

    async def end_of(self, deployment_id: str, *, running: bool) -> None:
        """Cancel the queued runs of a deployment; with `running`, have the others stopped, too."""
        while await self._store.abandon(QUEUED_OF, {"deployment_id": deployment_id}):
            pass
        if running:
            async with self._db.read() as session:
                found = await session.execute(BEGUN_OF, {"deployment_id": deployment_id})
                run_ids = list(found.scalars())
            for run_id in run_ids:
                await self._store.request_cancel(run_id)

    async def sweep(self) -> None:
        """Cancel queued runs of deleted deployments, and forget versions that none needs any more.

        Finds what came in while a deletion had not reached every process yet, or was cut off.
        """
        await self._store.abandon(QUEUED_OF_DELETED, {})
        async with self._db.read() as session:
            found = await session.execute(UNUSED, {"before": now() - _GRACE})
            ids = list(found.scalars())
        if ids:
            async with self._db.write(feeds=False) as session:
                await session.execute(_DELETE_VERSIONS, {"ids": ids})
