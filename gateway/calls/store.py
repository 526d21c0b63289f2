"""Rows of kept calls, and runs without their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.ids import min_run_id
from gateway.runs.rows import RUNS, run_from_row
from gateway.runs.run import Run
from gateway.storage.call_tables import CallRow
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.pruning import BATCH_ROWS
from gateway.storage.sql import in_list
from gateway.storage.tables import Deployment

MAX_OF_USER = 10_000
"""Calls of the deployments of one user that are kept: the newest."""

# Any: values of columns
CallValues = dict[str, Any]

_CALLS = cast("sa.Table", CallRow.__table__)
_OWNERS = sa.select(Deployment.id, Deployment.profile_id).where(
    in_list(Deployment.id, "deployment_ids")
)
_DELETE = sa.delete(_CALLS).where(in_list(_CALLS.c.id, "ids"))
_WITH_TOO_MANY = (
    sa.select(_CALLS.c.profile_id)
    .group_by(_CALLS.c.profile_id)
    .having(sa.func.count() > sa.bindparam("most"))
    .limit(1)
)


class CallStore:
    """The calls of all users. Its retention is its own, and not that of runs."""

    def __init__(self, db: Database, *, kept_minutes: int, max_of_user: int = MAX_OF_USER) -> None:
        self._db = db
        self._max_of_user = max_of_user
        self._kept = timedelta(minutes=kept_minutes)

    async def add(self, calls: Sequence[CallValues]) -> None:
        """Write calls; without a `profile_id`, those whose deployment exists."""
        unknown = {call["deployment_id"] for call in calls if call["profile_id"] is None}
        owners: dict[str, str] = {}
        if unknown:
            async with self._db.read() as session:
                found = await session.execute(_OWNERS, {"deployment_ids": sorted(unknown)})
                owners = {row.id: row.profile_id for row in found}
        owned = [
            {**call, "profile_id": call["profile_id"] or owners[call["deployment_id"]]}
            for call in calls
            if call["profile_id"] is not None or call["deployment_id"] in owners
        ]
        if owned:
            async with self._db.write() as session:
                await session.execute(sa.insert(CallRow), owned)

    async def prune(self, _before: datetime) -> int:
        """Delete a batch of the calls that are too old, or else too many; see PrunableStore."""
        old = _CALLS.c.id < min_run_id(now() - self._kept)
        oldest = sa.select(_CALLS.c.id).order_by(_CALLS.c.id).limit(BATCH_ROWS)
        async with self._db.read() as session:  # usually there are none: no lock is needed
            ids = (await session.execute(oldest.where(old))).scalars().all()
            if not ids:
                most = {"most": self._max_of_user}
                profile_id = (await session.execute(_WITH_TOO_MANY, most)).scalar_one_or_none()
                if profile_id is None:
                    return 0
                theirs = _CALLS.c.profile_id == profile_id
                newest = sa.select(_CALLS.c.id).where(theirs).order_by(_CALLS.c.id.desc())
                last = newest.offset(self._max_of_user - 1).limit(1).scalar_subquery()
                excess = oldest.where(theirs, _CALLS.c.id < last)
                ids = (await session.execute(excess)).scalars().all()
        async with self._db.write() as session:
            await session.execute(_DELETE, {"ids": ids})
        return len(ids)


async def find_call(
    session: AsyncSession, which: sa.ColumnElement[bool], profile_id: str, *, of_all: bool
) -> CallRow | None:
    """Return the newest call of the profile's that matches, or with `of_all` that of another."""
    query = sa.select(CallRow).where(which).order_by(CallRow.id.desc()).limit(1)
    own = await session.scalar(query.where(CallRow.profile_id == profile_id))
    return await session.scalar(query) if own is None and of_all else own


async def find_run(session: AsyncSession, which: sa.ColumnElement[bool]) -> Run | None:
    """Return the newest run that matches, without its output."""
    newest = sa.select(RUNS).where(which).order_by(RUNS.c.created_at.desc(), RUNS.c.id.desc())
    row = (await session.execute(newest.limit(1))).one_or_none()
    return None if row is None else run_from_row(row)
