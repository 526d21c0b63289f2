"""Finished runs are deleted after a while, and their place on the disk is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from telemetry.logs import logger

_PAUSE_SECONDS = 0.05
"""Between two batches, so that those who wait for the database get their turn."""

log = logger("gateway.runs")


class Pruned(Protocol):
    """Something that grows with the runs, and is kept as long as they are."""

    async def prune(self, before: datetime) -> int:
        """Delete the oldest that was made before a time, a bounded number; return how many."""


class Retention:
    """Prunes in batches, each a transaction of its own; many processes may do so at once."""

    def __init__(
        self, db: Database, store: RunStore, *, days: int, others: Sequence[Pruned] = ()
    ) -> None:
        self._db = db
        self._stores: tuple[Pruned, ...] = (store, *others)
        self._days = days

    async def sweep(self) -> int:
        """Delete all that is older than runs are kept, and return how much that was."""
        before = now() - timedelta(days=self._days)
        total = 0
        for store in self._stores:
            while deleted := await store.prune(before):
                total += deleted
                await asyncio.sleep(_PAUSE_SECONDS)
        while await self._db.reclaim_space():  # noqa: ASYNC110 - no event: it does something
            await asyncio.sleep(_PAUSE_SECONDS)
        if total:
            log.info("runs_pruned", rows=total, days=self._days)
        return total
