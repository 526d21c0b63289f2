"""Rows of usage: minutes, and the days that they are compacted into. Queries read both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.database import Database
from gateway.storage.sql import InList, TextList, dialect_insert
from gateway.storage.usage_tables import UsageDay, UsageMinute
from gateway.usage.counts import Counts

if TYPE_CHECKING:  # numpy, which the gateway counts with, is not needed to read what it wrote
    from gateway.usage.minute_bucket import BucketKey, BucketSnapshot

MINUTES = cast("sa.Table", UsageMinute.__table__)
DAYS = cast("sa.Table", UsageDay.__table__)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

_AT_A_TIME = 25
"""Rows to fetch and unpack before yielding to the event loop."""

# Any, here and below: the columns of a row, as the driver reads and writes them
Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Selects rows; fields that are None do not filter."""

    profile_id: str
    since: datetime
    """For days whose minutes have been compacted, rounded down to midnight."""
    until: datetime
    deployments: Collection[str] | None = None
    """The deployments that the caller may see."""
    deployment_id: str | None = None
    version: int | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """The counts of one deployment, version and key in a minute or a day."""

    began_at: datetime
    length: timedelta
    name: BucketKey
    counts: Counts


class UsageStore:
    """Reads and writes the minutes and days of an installation."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._put_minute = _put(db, MINUTES)
        self._put_day = _put(db, DAYS)

    async def write_calls(self, snapshots: Sequence[BucketSnapshot]) -> None:
        """Write the counts of a process in one idempotent transaction."""
        async with self.db.write() as session:
            await session.execute(self._put_minute, [_minute_of(each) for each in snapshots])

    async def put_minutes(self, session: AsyncSession, values: Sequence[Values]) -> None:
        """Insert minutes, or replace existing ones."""
        if values:
            await session.execute(self._put_minute, values)

    async def put_days(self, session: AsyncSession, values: Sequence[Values]) -> None:
        """Insert days, or replace existing ones."""
        if values:
            await session.execute(self._put_day, values)

    async def spans(self, which: UsageFilter) -> AsyncGenerator[UsagePeriod]:
        """Yield minutes and days in no particular order, from one snapshot."""
        found = sa.union_all(
            _selected(MINUTES, which, MINUTE),
            _selected(DAYS, which, DAY),
        )
        async with self.db.read_in_parts() as session:
            rows = await session.stream(found.execution_options(yield_per=_AT_A_TIME))
            async for row in rows:
                yield UsagePeriod(
                    row.began_at,
                    DAY if row.whole_day else MINUTE,
                    (row.deployment_id, row.version, row.key_id),
                    Counts.unpack(row.calls, row.runs, row.detail),
                )


def midnight(moment: datetime) -> datetime:
    """Return the beginning of the UTC day that contains `moment`."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def count_columns(counts: Counts) -> Values:
    """Return counts as columns."""
    return {
        "calls": counts.calls,
        "errors": sum(counts.errors.values()),
        "runs": counts.runs,
        "run_errors": sum(counts.run_errors.values()),
        "detail": counts.pack(),
    }


def key_columns(began_at: datetime, name: BucketKey, profile_id: str) -> Values:
    """Return the columns that identify a row and its owner."""
    deployment_id, version, key_id = name
    return {
        "began_at": began_at,
        "deployment_id": deployment_id,
        "version": version,
        "key_id": key_id,
        "profile_id": profile_id,
    }


def primary_key_params(table: sa.Table, rows: Iterable[Any]) -> list[Values]:
    """Return the primary keys of rows as parameters of `delete_by_primary_key`."""
    keys = [column.name for column in table.primary_key]
    return [{f"this_{key}": getattr(row, key) for key in keys} for row in rows]


def delete_by_primary_key(table: sa.Table) -> sa.Delete:
    """Return the statement that deletes one row by its primary key."""
    return sa.delete(table).where(
        *(
            column == sa.bindparam(f"this_{column.name}", type_=column.type)
            for column in table.primary_key
        )
    )


def _put(db: Database, table: sa.Table) -> sa.Executable:
    insert = dialect_insert(table, db.dialect)
    keys = [column.name for column in table.primary_key]
    changed = ("calls", "errors", "runs", "run_errors", "detail")
    return insert.on_conflict_do_update(
        index_elements=keys, set_={name: insert.excluded[name] for name in changed}
    )


def _minute_of(snapshot: BucketSnapshot) -> Values:
    bucket = snapshot.bucket
    return {
        **key_columns(datetime.fromtimestamp(bucket.minute, UTC), bucket.name, bucket.profile_id),
        "source": bucket.source,
        "calls": snapshot.calls,
        "errors": snapshot.errors,
        "runs": 0,
        "run_errors": 0,
        "detail": snapshot.detail,
    }


# Any: the columns
def _selected(table: sa.Table, which: UsageFilter, length: timedelta) -> sa.Select[Any]:
    columns = table.c
    since = midnight(which.since) if length == DAY else which.since
    query = sa.select(
        columns.began_at,
        columns.deployment_id,
        columns.version,
        columns.key_id,
        columns.calls,
        columns.runs,
        columns.detail,
        sa.literal(length == DAY).label("whole_day"),
    ).where(
        columns.profile_id == which.profile_id,
        columns.began_at >= since,
        columns.began_at < which.until,
    )
    if which.deployments is not None:
        allowed = sa.literal(sorted(which.deployments), TextList())
        query = query.where(InList(columns.deployment_id, allowed))
    if which.deployment_id is not None:
        query = query.where(columns.deployment_id == which.deployment_id)
    if which.version is not None:
        query = query.where(columns.version == which.version)
    if which.key_id is not None:
        query = query.where(columns.key_id == which.key_id)
    return query
