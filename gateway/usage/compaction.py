"""Compacts old minutes to days, and deletes old days: a few rows per transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.clock import now
from gateway.storage.sql import InList, TextList, advisory_lock
from gateway.usage.counts import Counts
from gateway.usage.minute_bucket import BucketKey
from gateway.usage.store import (
    DAYS,
    MINUTES,
    UsageStore,
    count_columns,
    delete_by_primary_key,
    key_columns,
    midnight,
    primary_key_params,
)

_AT_ONCE = 100
"""Rows per transaction: about 10 ms of processor time."""
_PAUSE_SECONDS = 0.05
_LOCK = "usage compaction"


class Compaction:
    """Keeps minutes for `minute_hours` hours, and days for `days` days."""

    def __init__(self, store: UsageStore, *, minute_hours: int, days: int) -> None:
        self._store = store
        self._db = store.db
        self._kept = timedelta(hours=minute_hours)
        self._days = timedelta(days=days)

    async def sweep(self) -> None:
        """Compact all minutes that are old enough, and delete all days that are."""
        present = now()
        for step, before in (
            (self.compact, midnight(present - self._kept)),
            (self.prune, midnight(present - self._days)),
        ):
            while await step(before):  # noqa: ASYNC110 - no event: it does something
                await asyncio.sleep(_PAUSE_SECONDS)

    async def compact(self, before: datetime, *, limit: int = _AT_ONCE) -> int:
        """Add the oldest minutes before a midnight to their days; return how many those were.

        They are deleted in the same transaction: readers never see them twice or not at all.
        """
        oldest = sa.select(MINUTES).where(MINUTES.c.began_at < before)
        oldest = oldest.order_by(*MINUTES.primary_key).limit(limit)
        async with self._db.read() as session:
            if (await session.execute(oldest.limit(1))).first() is None:
                return 0
        async with self._db.write() as session:
            await advisory_lock(session, _LOCK)
            rows = (await session.execute(oldest.with_for_update())).all()
            if rows:
                await self._add(session, rows)
                await session.execute(
                    delete_by_primary_key(MINUTES), primary_key_params(MINUTES, rows)
                )
        return len(rows)

    async def prune(self, before: datetime, *, limit: int = _AT_ONCE) -> int:
        """Delete the oldest days before a midnight; return how many rows those were."""
        oldest = sa.select(*DAYS.primary_key).where(DAYS.c.began_at < before)
        async with self._db.read() as session:
            found = await session.execute(oldest.order_by(*DAYS.primary_key).limit(limit))
            rows = found.all()
        if rows:
            async with self._db.write() as session:
                await session.execute(delete_by_primary_key(DAYS), primary_key_params(DAYS, rows))
        return len(rows)

    # Any: rows of minutes
    async def _add(self, session: AsyncSession, rows: Sequence[Any]) -> None:
        days: dict[tuple[datetime, BucketKey], Counts] = {}
        owners: dict[BucketKey, str] = {}
        for row in rows:
            name = _name(row)
            owners[name] = row.profile_id
            day = days.setdefault((midnight(row.began_at), name), Counts())
            day.add(Counts.unpack(row.calls, row.runs, row.detail))
        wanted = sa.literal(sorted({name[0] for name in owners}), TextList())
        first, last = min(began_at for began_at, _ in days), max(began_at for began_at, _ in days)
        there = sa.select(DAYS).where(
            DAYS.c.began_at >= first,
            DAYS.c.began_at <= last,
            InList(DAYS.c.deployment_id, wanted),
        )
        for row in await session.execute(there):
            found = days.get((row.began_at, _name(row)))
            if found is not None:
                found.add(Counts.unpack(row.calls, row.runs, row.detail))
        await self._store.put_days(
            session,
            [
                {**key_columns(began_at, name, owners[name]), **count_columns(counts)}
                for (began_at, name), counts in days.items()
            ],
        )


# Any: a row of minutes or days
def _name(row: Any) -> BucketKey:
    return row.deployment_id, row.version, row.key_id
