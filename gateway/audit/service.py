"""The audit log: pages, exports and pruning."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from gateway.audit import store
from gateway.audit.store import AuditFilter
from gateway.errors import GatewayError
from gateway.storage.audit_events import AuditTarget, record_event
from gateway.storage.audit_tables import MIN_RETENTION_DAYS, AuditEvent
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from protos.errors import ErrorCode

_EXPORT_BATCH_ROWS = 500
"""Rows that an export keeps in memory."""
_PRUNE_BATCH_ROWS = 2000
"""Rows that one transaction deletes; other writers of a SQLite database wait for it."""


class AuditLog:
    """What `storage/trail.py` has written."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, which: AuditFilter, request: PageRequest) -> Page[AuditEvent]:
        """Return a page of events, newest first; raise INVALID_REQUEST for an invalid cursor."""
        async with self._db.read() as session:
            return await store.event_page(session, which, request)

    async def batches(self, which: AuditFilter) -> AsyncIterator[Sequence[AuditEvent]]:
        """Yield all events, newest first, in batches.

        Each batch is a query of its own, so that a slow client keeps no transaction open. Events
        that are written meanwhile are not included.
        """
        cursor: str | None = None
        while True:
            page = await self.page(which, PageRequest(limit=_EXPORT_BATCH_ROWS, cursor=cursor))
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    async def prune(self, before: datetime) -> int:
        """Delete the events older than `before`, record that as an event, and return how many.

        Raises:
            GatewayError: VALIDATION_FAILED if `before` is within the minimum retention.
        """
        newest = now() - timedelta(days=MIN_RETENTION_DAYS)
        if before > newest:
            message = (
                f"before: expected a time more than {MIN_RETENTION_DAYS} days ago, got {before}"
            )
            raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}: younger events are kept")
        deleted = await self._prune_batch(before, recorded=False)
        total = deleted
        while deleted == _PRUNE_BATCH_ROWS:
            deleted = await self._prune_batch(before, recorded=True)
            total += deleted
        return total

    async def has_older(self, before: datetime) -> bool:
        """Whether there are events older than `before`."""
        async with self._db.read() as session:
            return await store.has_older(session, before)

    async def _prune_batch(self, before: datetime, *, recorded: bool) -> int:
        async with self._db.write() as session:
            deleted = await store.delete_before(session, before, limit=_PRUNE_BATCH_ROWS)
            if deleted and not recorded:
                await record_event(
                    session,
                    action="audit_log.prune",
                    target_kind=AuditTarget.AUDIT_LOG,
                    target_id="audit_log",
                    after={"before": before},
                )
        return deleted


class KeptAuditEvents:
    """Deletes audit events that are older than they are kept; once a day, as that is an event."""

    def __init__(self, log: AuditLog, *, days: int) -> None:
        self._log = log
        self._kept = timedelta(days=days)

    async def prune(self, _: datetime) -> int:
        """Delete them all, and return how many; the retention of runs does not matter."""
        before = (now() - self._kept).replace(hour=0, minute=0, second=0, microsecond=0)
        if not await self._log.has_older(before):
            return 0
        return await self._log.prune(before)
