"""What there is to know of runs: one, some, or a page of them, and their events."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.listing import RunFilter, run_page
from gateway.runs.run import LeaseStatus, NodeEvent, Run, RunMark, RunStatus
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest


class RunQueries:
    """The part of RunStore that only reads."""

    _db: Database

    async def events(self, run_id: str, after: int = 0) -> list[NodeEvent]:
        """Return what was told of a run's nodes after the event numbered `after`, in order."""
        values = {"run_id": run_id, "after": after}
        async with self._db.read() as session:
            return [
                NodeEvent(number=row.number, node_id=row.node_id, data=row.data)
                for row in await session.execute(sql.EVENTS_AFTER, values)
            ]

    async def get(self, run_id: str) -> Run | None:
        """Return a run with its output, if it is there."""
        async with self._db.read() as session:
            return await read_run(session, run_id)

    async def input_of(self, run_id: str) -> bytes | None:
        """Return what a run began with, if that is kept."""
        async with self._db.read() as session:
            found = await session.execute(sql.INPUT, {"run_id": run_id})
            return found.scalar_one_or_none()

    async def poll_cancelled(self, held: Sequence[tuple[str, int]]) -> LeaseStatus:
        """Hear what `beat` says of the runs that a process holds, and write nothing."""
        async with self._db.read() as session:
            found = (await session.execute(sql.HELD_STATUS, rows.held_params(held))).all()
        return rows.lease_status(held, found)

    async def ended(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of some runs that have ended, with their output: one query."""
        async with self._db.read() as session:
            found = await session.execute(sql.ENDED, {"run_ids": run_ids})
            return [rows.run_with_output(row) for row in found]

    async def marks(self, run_ids: Sequence[str]) -> dict[str, RunMark]:
        """Return how far some runs are: one query. Those that are gone are left out."""
        async with self._db.read() as session:
            return {
                row.id: RunMark(
                    RunStatus(row.status), row.cancel_requested, row.attempt, row.event_count
                )
                for row in await session.execute(sql.MARKS, {"run_ids": run_ids})
            }

    async def page(self, which: RunFilter, request: PageRequest) -> Page[Run]:
        """Return a page of runs, newest first, without their output."""
        async with self._db.read() as session:
            return await run_page(session, which, request)


async def read_run(session: AsyncSession, run_id: str) -> Run | None:
    """Return a run with its output, if it is there."""
    row = (await session.execute(sql.GET, {"run_id": run_id})).one_or_none()
    return None if row is None else rows.run_with_output(row)
