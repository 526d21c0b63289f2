"""Counts ended runs from their rows, each exactly once, in spite of crashes.

Rows are counted in the order of their end. A mark stores the last row counted, and is written in
one transaction with the counts. A transaction that is still open may commit a run that ended
earlier, so rows are counted only up to a horizon: two seconds ago, or the beginning of the oldest
open transaction if that is earlier.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.metrics import GatewayMetrics
from gateway.storage.run_tables import COUNTED, RunRow
from gateway.storage.sql import dialect_insert, seconds_from_now
from gateway.storage.tables import UtcTime
from gateway.storage.usage_tables import UsageMark
from gateway.usage.counts import BOOT, QUEUE, RUN, Counts
from gateway.usage.minute_bucket import BucketKey
from gateway.usage.store import MINUTES, UsageStore, Values, count_columns, key_columns
from telemetry.trace_context import continued

SOURCE = "runs"
_AT_ONCE = 200
_BEHIND_SECONDS = 2.0
_COMPLETED = "completed"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_RUNS = cast("sa.Table", RunRow.__table__)
_MARKS = cast("sa.Table", UsageMark.__table__)
_MARK = sa.select(_MARKS.c.finished_at, _MARKS.c.run_id)
_AFTER = {"finished_at": _BEGINNING, "run_id": ""}
_ENDED = (
    sa.select(
        _RUNS.c.id,
        _RUNS.c.profile_id,
        _RUNS.c.deployment_id,
        _RUNS.c.version,
        _RUNS.c.key_id,
        _RUNS.c.mode,
        _RUNS.c.type,
        _RUNS.c.status,
        _RUNS.c.error_code,
        _RUNS.c.created_at,
        _RUNS.c.started_at,
        _RUNS.c.finished_at,
        _RUNS.c.duration_seconds,
        _RUNS.c.boot_seconds,
        _RUNS.c.traceparent,
    )
    .where(
        COUNTED,
        sa.not_(_RUNS.c.test),
        sa.tuple_(_RUNS.c.finished_at, _RUNS.c.id)
        > sa.tuple_(
            sa.bindparam("finished_at", type_=UtcTime()), sa.bindparam("run_id", type_=sa.String())
        ),
        _RUNS.c.finished_at < sa.bindparam("horizon", type_=UtcTime()),
    )
    .order_by(_RUNS.c.finished_at, _RUNS.c.id)
    .limit(_AT_ONCE)
)
_OLDEST_WRITER = sa.text(
    "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)
_MOVE = sa.update(_MARKS).values(
    finished_at=sa.bindparam("to_finished_at", type_=UtcTime()), run_id=sa.bindparam("to_run_id")
)


# Any: rows of runs, with the columns of _ENDED
OnCounted = Callable[[Sequence[Any]], Awaitable[None]]
"""What else hears, once, of each run that has ended, and raises nothing."""


class RunCounter:
    """One process counts at a time, the one that locks the mark; the others skip the turn."""

    def __init__(
        self,
        store: UsageStore,
        metrics: GatewayMetrics,
        on_counted: OnCounted | None = None,
        *,
        behind: float = _BEHIND_SECONDS,
    ) -> None:
        """Count runs that ended `behind` seconds ago or earlier; `on_counted` gets them, too."""
        self._store = store
        self._present = sa.select(seconds_from_now(-behind))
        self._db = store.db
        self._metrics = metrics
        self._on_counted = on_counted
        first = dialect_insert(_MARKS, self._db.dialect).values(id=1, **_AFTER)
        self._first = first.on_conflict_do_nothing()

    async def count(self) -> int:
        """Count a batch of runs; return how many there were, 0 if none is left."""
        if not await self._any():
            return 0
        async with self._db.write() as session:
            await session.execute(self._first)
            mark = (await session.execute(_MARK.with_for_update(skip_locked=True))).one_or_none()
            if mark is None:  # another process is counting
                return 0
            # The horizon is read first: a transaction that was open then began at or after it.
            horizon = await self._horizon(session)
            place = {"finished_at": mark.finished_at, "run_id": mark.run_id, "horizon": horizon}
            rows = (await session.execute(_ENDED, place)).all()
            if not rows:
                return 0
            await self._add(session, rows)
            last = rows[-1]
            to = {"to_finished_at": last.finished_at, "to_run_id": last.id}
            await session.execute(_MOVE, to)
        for row in rows:
            self._measure(row)
        if self._on_counted is not None:
            await self._on_counted(rows)
        return len(rows)

    async def _any(self) -> bool:
        """Check without a write lock, because there is usually nothing to count."""
        async with self._db.read() as session:
            mark = (await session.execute(_MARK)).one_or_none()
            place = _AFTER if mark is None else mark._asdict()
            horizon = await self._horizon(session)
            found = await session.execute(_ENDED.limit(1), {**place, "horizon": horizon})
            return found.first() is not None

    async def _horizon(self, session: AsyncSession) -> datetime:
        """Return a time such that all runs that ended before it are committed."""
        behind: datetime = (await session.execute(self._present)).scalar_one()
        if self._db.dialect == "sqlite":  # there is one writer at a time
            return behind
        oldest: datetime | None = (await session.execute(_OLDEST_WRITER)).scalar_one()
        return behind if oldest is None else min(behind, oldest)

    # Any, here and below: rows of _ENDED
    def _measure(self, row: Any) -> None:
        deployment = (row.deployment_id, row.mode, row.type)
        self._metrics.count_runs(deployment, row.status, row.error_code or "")
        seconds = _durations(row)
        trace = continued(row.traceparent)
        self._metrics.observe_run(
            deployment,
            queue=seconds[QUEUE],
            boot=seconds.get(BOOT),
            run=seconds.get(RUN),
            trace_id=None if trace is None else trace.trace_id_text,
        )

    async def _add(self, session: AsyncSession, rows: Sequence[Any]) -> None:
        minute_buckets: dict[tuple[datetime, BucketKey], Counts] = {}
        owners: dict[BucketKey, str] = {}
        for row in rows:
            name = (row.deployment_id, row.version, row.key_id or "")
            minute = row.finished_at.replace(second=0, microsecond=0)
            owners[name] = row.profile_id
            _count(minute_buckets.setdefault((minute, name), Counts()), row)
        for row in await session.execute(_counted({minute for minute, _ in minute_buckets})):
            counts = minute_buckets.get(
                (row.began_at, (row.deployment_id, row.version, row.key_id))
            )
            if counts is not None:
                counts.add(Counts.unpack(row.calls, row.runs, row.detail))
        values: list[Values] = [
            {**key_columns(minute, name, owners[name]), "source": SOURCE, **count_columns(counts)}
            for (minute, name), counts in minute_buckets.items()
        ]
        await self._store.put_minutes(session, values)


# Any: the columns
def _counted(minutes: set[datetime]) -> sa.Select[Any]:
    return sa.select(MINUTES).where(
        MINUTES.c.began_at.in_(sorted(minutes)), MINUTES.c.source == SOURCE
    )


def _count(counts: Counts, row: Any) -> None:
    counts.runs += 1
    if row.status != _COMPLETED:
        code = row.error_code or row.status
        counts.run_errors[code] = counts.run_errors.get(code, 0) + 1
    for stage, seconds in _durations(row).items():
        counts.took(stage, seconds)


def _durations(row: Any) -> Mapping[str, float]:
    """Return the seconds of each stage that the run reached."""
    if row.started_at is None:
        return {QUEUE: (row.finished_at - row.created_at).total_seconds()}
    found = {QUEUE: (row.started_at - row.created_at).total_seconds()}
    if row.boot_seconds is not None:
        found[BOOT] = row.boot_seconds
    took = row.duration_seconds
    found[RUN] = (row.finished_at - row.started_at).total_seconds() if took is None else took
    return found
