"""Deletes runs and webhook deliveries that are older than they are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from telemetry.instruments import Registry
from telemetry.logs import logger

_INTERVAL_SECONDS = 60.0
TESTS_KEPT = timedelta(days=1)
_PAUSE_SECONDS = 0.05
"""Between two batches, so that other writers get their turn."""

log = logger("gateway.runs")


class PrunableStore(Protocol):
    """A store whose rows have the retention of runs."""

    async def prune(self, before: datetime) -> int:
        """Delete a batch of the oldest rows created before a time; return their number.

        One small transaction, whose cost depends on what it deletes and not on what is stored.
        """


class KeptForDay:
    """The test runs of a store, and what is written about them: they are kept for a day."""

    def __init__(self, prune: Callable[[datetime], Awaitable[int]]) -> None:
        self._prune = prune

    async def prune(self, before: datetime) -> int:
        """See PrunableStore."""
        return await self._prune(max(before, now() - TESTS_KEPT))


class Retention:
    """Deletes expired rows in batches; every gateway process may do so at once.

    `stores` are by what the metric calls their rows.
    """

    def __init__(
        self,
        db: Database,
        stores: Mapping[str, PrunableStore],
        *,
        days: int,
        registry: Registry | None = None,
    ) -> None:
        self._db = db
        self._stores = stores
        self._days = days
        self._deleted = (registry or Registry()).counter(
            "retention_deleted_total",
            "Rows deleted because they were older than they are kept: runs, tests, rehearsals, "
            "deliveries, calls, audit_events.",
            ("kind",),
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to sweep once a minute."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """Stop; a batch in progress is rolled back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> int:
        """Delete all rows past their retention; return their number."""
        before = now() - timedelta(days=self._days)
        total = 0
        for kind, store in self._stores.items():
            while deleted := await store.prune(before):
                self._deleted.child(kind).add(deleted)
                total += deleted
                await asyncio.sleep(_PAUSE_SECONDS)
        while await self._db.reclaim_space():  # noqa: ASYNC110 - not a wait
            await asyncio.sleep(_PAUSE_SECONDS)
        if total:
            log.info("runs_pruned", rows=total, days=self._days)
        return total

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "retention_failed", error)
            await asyncio.sleep(_INTERVAL_SECONDS)
