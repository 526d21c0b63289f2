"""A table full of finished runs: copies of one that was made, written into it directly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.ids import new_run_id
from gateway.storage.database import Database
from gateway.storage.run_tables import RunPayload, RunRow
from gateway.storage.tables import Table

_AT_ONCE = 2_000
_APART = timedelta(milliseconds=50)
"""Between the creation of two copies: a hundred thousand are those of an hour and a half."""
_OF_ITS_OWN = ("idempotency_key", "fingerprint")
"""What no two runs may share."""


def fill(url: str, run_id: str, count: int) -> None:
    """Copy the finished run `run_id` so many times, each copy a bit older than the one before."""
    asyncio.run(_fill(url, run_id, count))


async def _fill(url: str, run_id: str, count: int) -> None:
    db = Database(url)
    try:
        async with db.read() as session:
            row = await _values(session, RunRow, RunRow.id == run_id)
            payload = await _values(session, RunPayload, RunPayload.run_id == run_id)
        for first in range(0, count, _AT_ONCE):
            ids = [new_run_id() for _ in range(min(_AT_ONCE, count - first))]
            rows = [_older(row, one, first + at + 1) for at, one in enumerate(ids)]
            async with db.write() as session:
                await session.execute(insert(RunRow), rows)
                await session.execute(
                    insert(RunPayload), [{**payload, "run_id": one} for one in ids]
                )
        if db.dialect == "postgresql":
            # As autovacuum does within a minute of rows coming in; these come within seconds.
            async with db.write() as session:
                await session.execute(text("ANALYZE runs, run_payloads"))
    finally:
        await db.close()


async def _values(session: AsyncSession, table: type[Table], which: Any) -> dict[str, Any]:
    """Return the columns of the one row. Any: a condition, and values of any type."""
    (found,) = (await session.execute(select(table.__table__).where(which))).mappings()
    return dict(found)


def _older(row: dict[str, Any], run_id: str, steps: int) -> dict[str, Any]:
    """Return the values of a copy that was made so many steps before. Any: of any type."""
    earlier = {
        name: row[name] - steps * _APART for name in ("created_at", "started_at", "finished_at")
    }
    return {**row, **dict.fromkeys(_OF_ITS_OWN), **earlier, "id": run_id}
