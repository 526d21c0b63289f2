"""What the deployments of a page were called for in the last 24 hours, in two queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.clock import now
from gateway.storage.sql import HourOf
from gateway.usage.counts import TOTAL, Counts
from gateway.usage.histogram import DurationHistogram, merge, percentile
from gateway.usage.store import DAY, MINUTES

_NEWEST = 10
"""Rows of a deployment that its percentile is of: unpacking a row takes some 20 µs."""
_SHARE = 0.95
_HOUR = timedelta(hours=1)
_HOURS = 25
"""Hours of the clock that 24 hours have a part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentUsage:
    """The calls of a deployment in the last 24 hours."""

    calls: int = 0
    calls_by_hour: Sequence[int] = (0,) * _HOURS
    """Of each hour of the clock, the present one last."""
    errors: int = 0
    last_call_at: datetime | None = None
    """The minute of the last call."""
    p95_seconds: float | None = None
    """Of the newest minutes with calls."""


NO_USAGE = RecentUsage()
_Hour = sa.Row[tuple[str, int, int, datetime]]


async def load_recent(
    session: AsyncSession, deployment_ids: Sequence[str]
) -> Mapping[str, RecentUsage]:
    """Return the usage of those deployments that were called, by id.

    The index on deployments has all that is added up, so that no row is read for it.
    """
    since = now() - DAY
    called = await _hours(session, deployment_ids, since)
    percentiles = await _percentiles(session, list(called), since)
    return {
        deployment_id: RecentUsage(
            calls=sum(row.calls for row in hours),
            calls_by_hour=_by_hour(hours, since),
            errors=sum(row.errors for row in hours),
            last_call_at=max(row.last_call_at for row in hours),
            p95_seconds=percentiles.get(deployment_id),
        )
        for deployment_id, hours in called.items()
    }


def _by_hour(hours: Iterable[_Hour], since: datetime) -> Sequence[int]:
    first = since.replace(minute=0, second=0, microsecond=0)
    calls = [0] * _HOURS
    for row in hours:
        # A minute may begin between the computation of `since` and the query.
        calls[min((row.last_call_at - first) // _HOUR, _HOURS - 1)] += row.calls
    return calls


async def _hours(
    session: AsyncSession, ids: Sequence[str], since: datetime
) -> dict[str, list[_Hour]]:
    columns = MINUTES.c
    statement = (
        sa.select(
            columns.deployment_id,
            sa.cast(sa.func.sum(columns.calls), sa.BigInteger).label("calls"),
            sa.cast(sa.func.sum(columns.errors), sa.BigInteger).label("errors"),
            sa.func.max(columns.began_at).label("last_call_at"),
        )
        .where(columns.deployment_id.in_(ids), columns.began_at >= since, columns.calls > 0)
        .group_by(columns.deployment_id, HourOf(columns.began_at))
    )
    found: dict[str, list[_Hour]] = {}
    for row in await session.execute(statement):
        found.setdefault(row.deployment_id, []).append(row)
    return found


async def _percentiles(
    session: AsyncSession, ids: Sequence[str], since: datetime
) -> dict[str, float | None]:
    if not ids:
        return {}
    columns = MINUTES.c
    newest = [
        sa.select(
            sa.select(columns.deployment_id, columns.calls, columns.runs, columns.detail)
            .where(columns.deployment_id == each, columns.began_at >= since, columns.calls > 0)
            .order_by(columns.began_at.desc())
            .limit(_NEWEST)
            .subquery()
        )
        for each in ids
    ]
    durations: dict[str, DurationHistogram] = {each: {} for each in ids}
    for number, row in enumerate(await session.execute(sa.union_all(*newest))):
        if number % _NEWEST == 0:
            await asyncio.sleep(0)  # a page may have thousands of them
        counts = Counts.unpack(row.calls, row.runs, row.detail)
        merge(durations[row.deployment_id], counts.seconds.get(TOTAL, {}))
    return {each: percentile(found, _SHARE) for each, found in durations.items()}
