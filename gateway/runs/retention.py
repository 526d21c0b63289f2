"""Finished runs are deleted after a while, and their place on the disk is given back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from telemetry.logs import logger

_PAUSE_SECONDS = 0.05
"""Between two batches, so that those who wait for the database get their turn."""

log = logger("gateway.runs")


class Retention:
    """Prunes in batches, each a transaction of its own; many processes may do so at once."""

    def __init__(self, db: Database, store: RunStore, *, days: int) -> None:
        self._db = db
        self._store = store
        self._days = days

    async def sweep(self) -> int:
        """Delete all finished runs that are older than runs are kept; return how many."""
        before = now() - timedelta(days=self._days)
        total = 0
        while deleted := await self._store.prune(before):
            total += deleted
            await asyncio.sleep(_PAUSE_SECONDS)
        while await self._db.give_back_space():  # noqa: ASYNC110 - no event: it does something
            await asyncio.sleep(_PAUSE_SECONDS)
        if total:
            log.info("runs_pruned", runs=total, days=self._days)
        return total
