"""The background jobs of usage: write counted calls, count runs, compact old minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.metrics import GatewayMetrics
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.usage.compaction import Compaction
from gateway.usage.meter import UsageMeter
from gateway.usage.minute_bucket import BucketSnapshot, MinuteBucket
from gateway.usage.run_counter import OnCounted, RunCounter
from gateway.usage.store import UsageStore
from telemetry.logs import logger

FLUSH_SECONDS = 5.0
"""A killed process loses at most the calls of this time."""
_COUNT_SECONDS = 5.0
_COMPACT_SECONDS = 60.0
_WRITE_BATCH = 200
_PACK_BATCH = 10
"""Buckets to pack before yielding to the event loop: a millisecond or two."""

log = logger("gateway.usage")


class UsageWriter:
    """The meter, and three periodic jobs that continue after failures."""

    def __init__(
        self,
        db: Database,
        metrics: GatewayMetrics,
        on_runs: OnCounted | None = None,
        *,
        minute_hours: int,
        days: int,
    ) -> None:
        self.meter = UsageMeter()
        self._metrics = metrics
        self._store = UsageStore(db)
        self._runs = RunCounter(self._store, metrics, on_runs)
        self._compaction = Compaction(self._store, minute_hours=minute_hours, days=days)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the jobs."""
        self._tasks = [
            asyncio.create_task(_every(seconds, job), name=f"usage: {job.__name__}")
            for seconds, job in (
                (FLUSH_SECONDS, self.flush),
                (_COUNT_SECONDS, self.count_runs),
                (_COMPACT_SECONDS, self._compaction.sweep),
            )
        ]

    async def close(self) -> None:
        """Stop the jobs, and write the unwritten counts if the database is reachable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _attempt(self.flush)

    async def flush(self) -> None:
        """Write all unwritten counts. They are kept until the database has accepted them.

        Raises:
            SQLAlchemyError, OSError: the database is unreachable.
        """
        self._metrics.calls_uncounted.value = self.meter.dropped
        minute_buckets = list(self.meter.unwritten())
        for first in range(0, len(minute_buckets), _WRITE_BATCH):
            snapshots = await _packed(minute_buckets[first : first + _WRITE_BATCH])
            await self._store.write_calls(snapshots)
            self.meter.mark_written(snapshots)

    async def count_runs(self) -> None:
        """Count all runs that have ended."""
        while await self._runs.count():  # noqa: ASYNC110 - no event: it does something
            await asyncio.sleep(0)


async def _packed(minute_buckets: Sequence[MinuteBucket]) -> list[BucketSnapshot]:
    packed = []
    for number, bucket in enumerate(minute_buckets):
        if number % _PACK_BATCH == 0:
            await asyncio.sleep(0)
        packed.append(bucket.snapshot())
    return packed


async def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _attempt(job)


async def _attempt(job: Callable[[], Awaitable[None]]) -> None:
    try:
        await job()
    except Exception as error:  # noqa: BLE001 - see `log_failure`
        log_failure(log, "usage_not_written", error)
