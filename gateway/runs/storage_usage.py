"""What stored runs and events take: reads of the counts that triggers keep, and their upkeep."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.database import Database
from gateway.storage.quota_tables import INSTALLATION, StorageChange, StorageUsage
from gateway.storage.sql import advisory_lock, dialect_insert, sql_literal

_CHANGES = cast("sa.Table", StorageChange.__table__)
_USAGE = cast("sa.Table", StorageUsage.__table__)
_BATCH_SIZE = 1000
_LOCK = "storage usage"
_PROFILE = sa.bindparam("profile_id", type_=sa.String())


class StoredBytes(NamedTuple):
    """Bytes of the stored runs and events of one user, and of all."""

    user: int
    installation: int


def counted_bytes(profile_id: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return what `storage_usage` says of a user or the installation: seconds old."""
    found = sa.select(_USAGE.c.bytes).where(_USAGE.c.profile_id == profile_id).scalar_subquery()
    return sa.func.coalesce(found, 0)


def _changed_bytes(*which: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    total = sa.cast(sa.func.sum(_CHANGES.c.bytes), sa.BigInteger)
    return sa.func.coalesce(sa.select(total).where(*which).scalar_subquery(), 0)


_ALL = counted_bytes(sql_literal(INSTALLATION)) + _changed_bytes()
_READ = sa.select(
    (counted_bytes(_PROFILE) + _changed_bytes(_CHANGES.c.profile_id == _PROFILE)).label("user"),
    _ALL.label("installation"),
)
_STATE = sa.select(
    _ALL.label("stored"), sa.exists().where(_CHANGES.c.id.is_not(None)).label("changes")
)
_TAKE = (
    sa.delete(_CHANGES)
    .where(_CHANGES.c.id.in_(sa.select(_CHANGES.c.id).order_by(_CHANGES.c.id).limit(_BATCH_SIZE)))
    .returning(_CHANGES.c.profile_id, _CHANGES.c.bytes)
)


async def read_stored_bytes(session: AsyncSession, profile_id: str) -> StoredBytes:
    """Return what the session's transaction sees, changes of the last seconds included."""
    row = (await session.execute(_READ, {"profile_id": profile_id})).one()
    return StoredBytes(row.user, row.installation)


class StorageCounts:
    """The counts of all users. Any number of processes may keep them up."""

    def __init__(self, db: Database) -> None:
        self._db = db
        insert = dialect_insert(_USAGE, db.dialect)
        self._add = insert.on_conflict_do_update(
            index_elements=[_USAGE.c.profile_id],
            set_={"bytes": _USAGE.c.bytes + insert.excluded.bytes},
        )

    async def add_changes(self) -> int:
        """Add the changes to the counts; return the bytes of all users together.

        Also finds out whether a full disk has room again.
        """
        async with self._db.read() as session:
            state = (await session.execute(_STATE)).one()
        if state.changes:
            while await self._add_batch() == _BATCH_SIZE:
                pass
        if self._db.disk_full:
            async with self._db.write() as session:
                await session.execute(self._add, {"profile_id": INSTALLATION, "bytes": 0})
            self._db.disk_full = False
        stored: int = state.stored
        return stored

    async def _add_batch(self) -> int:
        """Add some of the oldest changes, and return their number."""
        async with self._db.write() as session:
            await advisory_lock(session, _LOCK)
            taken = (await session.execute(_TAKE)).all()
            added: Counter[str] = Counter()
            for row in taken:
                added[row.profile_id] += row.bytes
                added[INSTALLATION] += row.bytes
            if added:
                # in one order in all processes
                counts = [{"profile_id": of, "bytes": size} for of, size in sorted(added.items())]
                await session.execute(self._add, counts)
        return len(taken)
