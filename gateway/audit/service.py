"""The audit log: read in pages, read to its end, shortened."""

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
"""Rows that an export has in memory."""
_PRUNE_BATCH_ROWS = 2000
"""Rows that one transaction deletes: other writers of a SQLite file wait for it."""


class AuditLog:
    """What `storage/trail.py` has written."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, which: AuditFilter, request: PageRequest) -> Page[AuditEvent]:
        """Return a page of acts, newest first; raise INVALID_REQUEST for a foreign cursor."""
        async with self._db.read() as session:
            return await store.event_page(session, which, request)

    async def everything(self, which: AuditFilter) -> AsyncIterator[Sequence[AuditEvent]]:
        """Yield all acts, newest first, some hundred at a time.

        Each lot is a look of its own, so a slow reader holds no transaction open; what is written
        meanwhile is newer than what comes, and left out.
        """
        cursor: str | None = None
        while True:
            page = await self.page(which, PageRequest(limit=_EXPORT_BATCH_ROWS, cursor=cursor))
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    async def prune(self, before: datetime) -> int:
        """Delete the acts older than `before`, which itself is an act; return how many.

        Raises:
            GatewayError: VALIDATION_FAILED where some of them are to be kept still.
        """
        newest = now() - timedelta(days=MIN_RETENTION_DAYS)
        if before > newest:
            message = (
                f"before: expected a time more than {MIN_RETENTION_DAYS} days ago, got {before}"
            )
            raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}: younger acts stay")
        deleted = await self._prune_some(before, told=False)
        gone = deleted
        while deleted == _PRUNE_BATCH_ROWS:
            deleted = await self._prune_some(before, told=True)
            gone += deleted
        return gone

    async def _prune_some(self, before: datetime, *, told: bool) -> int:
        async with self._db.write(notify=False) as session:
            deleted = await store.delete_before(session, before, limit=_PRUNE_BATCH_ROWS)
            if deleted and not told:
                await record_event(
                    session,
                    action="audit_log.prune",
                    target_kind=AuditTarget.AUDIT_LOG,
                    target_id="audit_log",
                    after={"before": before},
                )
        return deleted
