"""Looks after the rows: what was not handed over, what lost its worker, what waited too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from gateway.execution.launcher import Launcher
from gateway.runs.store import RunStore
from telemetry.logs import logger

_TICK_SECONDS = 0.5
_PUBLISH_SECONDS = 1.0
_REAP_SECONDS = 10.0
_PRUNE_SECONDS = 60.0
_UNPUBLISHED_SECONDS = 2.0
"""A row that old should have been handed over."""
_UNCLAIMED_SECONDS = 30.0
"""A row that was handed over that long ago is handed over once more: a claim is only had once."""
_AT_ONCE = 500

log = logger("gateway.execution.sweep")


class Sweep:
    """Runs in every gateway process: each step is one statement that does no harm twice."""

    def __init__(self, store: RunStore, launcher: Launcher, *, retention_days: float) -> None:
        self._store = store
        self._launcher = launcher
        self._retention_days = retention_days
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
            _Duty(self._note, _TICK_SECONDS),
            _Duty(self._publish, _PUBLISH_SECONDS),
            _Duty(self._reap, _REAP_SECONDS),
            _Duty(self._prune, _PRUNE_SECONDS),
        ]
        while True:
            for duty in duties:
                await duty.when_due()
            await asyncio.sleep(_TICK_SECONDS)

    async def _note(self) -> None:
        sent = self._launcher.handed_over()
        if sent:
            await self._store.mark_published(sent)

    async def _publish(self) -> None:
        waiting = await self._store.unpublished(
            never_for=_UNPUBLISHED_SECONDS, unclaimed_for=_UNCLAIMED_SECONDS, limit=_AT_ONCE
        )
        for run in waiting:
            self._launcher.launch(run.id, run.type, run.mode)

    async def _reap(self) -> None:
        reaped = await self._store.reap()
        expired = await self._store.expire_queued()
        if reaped or expired:
            log.warning("runs_reaped", lost=len(reaped), expired=len(expired))

    async def _prune(self) -> None:
        while await self._store.prune(self._retention_days):
            await asyncio.sleep(_TICK_SECONDS)


class _Duty:
    """One step, and when it is due again. It goes on after a failure: the database may be back."""

    def __init__(self, step: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._step = step
        self._seconds = seconds
        self._due = monotonic()

    async def when_due(self) -> None:
        if monotonic() < self._due:
            return
        self._due = monotonic() + self._seconds
        try:
            await self._step()
        except (SQLAlchemyError, OSError) as error:
            log.warning("sweep_failed", reason=str(error).partition("\n")[0])
