"""Looks after the rows: what was not handed over, what lost its worker, what waited too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import DeploymentType
from gateway.execution.launcher import RunLauncher
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.metrics import RunMetrics
from gateway.runs.retention import Retention
from gateway.runs.store import RunStore
from telemetry.logs import logger, reason_of

_TICK_SECONDS = 0.5
_PUBLISH_SECONDS = 1.0
_COUNT_SECONDS = 5.0
_REAP_SECONDS = 10.0
_PRUNE_SECONDS = 60.0
_GRACE_SECONDS = 1.0
"""For a lease that ended just now."""
_LONG_GRACE_SECONDS = 10.0
"""After the database was away, or when we were: who lives has renewed its lease by then."""

log = logger("gateway.execution.sweeper")


class RunSweeper:
    """Runs in every gateway process: each step is one statement that does no harm twice."""

    def __init__(
        self,
        store: RunStore,
        launcher: RunLauncher,
        retention: Retention,
        cleanup: DeletedOwnerCleanup,
        metrics: RunMetrics,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._retention = retention
        self._cleanup = cleanup
        self._metrics = metrics
        self._troubled_at = monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._sweep(), name="sweep")

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        duties = [
            _PeriodicTask(self._note, _TICK_SECONDS),
            _PeriodicTask(self._publish, _PUBLISH_SECONDS),
            _PeriodicTask(self._count, _COUNT_SECONDS),
            _PeriodicTask(self._reap, _REAP_SECONDS),
            _PeriodicTask(self._prune, _PRUNE_SECONDS),
        ]
        while True:
            for duty in duties:
                if not await duty.when_due():
                    self._troubled_at = monotonic()
            await asyncio.sleep(_TICK_SECONDS)

    async def _note(self) -> None:
        sent = self._launcher.take_launched()
        if sent:
            await self._store.mark_published(sent)

    async def _publish(self) -> None:
        for deployment_type in DeploymentType:
            for run in await self._store.due_for_publishing(deployment_type):
                self._launcher.launch(run.run_id, run.type, run.mode)

    async def _reap(self) -> None:
        calm = monotonic() - self._troubled_at > _LONG_GRACE_SECONDS
        reaped = await self._store.reap(grace=_GRACE_SECONDS if calm else _LONG_GRACE_SECONDS)
        expired = await self._store.expire_queued()
        for run in reaped.requeued:
            self._launcher.launch(run.run_id, run.type, run.mode)
        self._metrics.reaped(requeued=len(reaped.requeued), lost=len(reaped.lost))
        if reaped.requeued or reaped.lost or expired:
            log.warning(
                "runs_reaped",
                requeued=len(reaped.requeued),
                lost=len(reaped.lost),
                expired=len(expired),
            )

    async def _count(self) -> None:
        self._metrics.counted(await self._store.counts())

    async def _prune(self) -> None:
        await self._retention.sweep()
        await self._cleanup.sweep()


class _PeriodicTask:
    """One step, and when it is due again. It goes on after a failure: the database may be back."""

    def __init__(self, step: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._step = step
        self._seconds = seconds
        self._due = monotonic()

    async def when_due(self) -> bool:
        """Do it, if it is due; False where the database did not let it."""
        if monotonic() < self._due:
            return True
        self._due = monotonic() + self._seconds
        try:
            await self._step()
        except (SQLAlchemyError, OSError) as error:
            log.warning("sweep_failed", reason=reason_of(error))
            return False
        return True
