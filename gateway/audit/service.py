"""The audit log: read in pages, read to its end, shortened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from gateway.audit import store
from gateway.audit.store import ActFilter
from gateway.errors import GatewayError
from gateway.storage.audit_tables import KEPT_DAYS, AuditAct
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.trail import Subject, record_act
from protos.errors import ErrorCode

_AT_A_TIME = 500
"""Rows that an export has in memory."""
_AT_ONCE = 2000
"""Rows that one transaction deletes: other writers of a SQLite file wait for it."""


class AuditLog:
    """What `storage/trail.py` has written."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, which: ActFilter, request: PageRequest) -> Page[AuditAct]:
        """Return a page of acts, newest first; raise INVALID_REQUEST for a foreign cursor."""
        async with self._db.read() as session:
            return await store.act_page(session, which, request)

    async def everything(self, which: ActFilter) -> AsyncIterator[Sequence[AuditAct]]:
        """Yield all acts, newest first, some hundred at a time.

        Each lot is a look of its own, so a slow reader holds no transaction open; what is written
        meanwhile is newer than what comes, and left out.
        """
        cursor: str | None = None
        while True:
            page = await self.page(which, PageRequest(limit=_AT_A_TIME, cursor=cursor))
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    async def prune(self, before: datetime) -> int:
        """Delete the acts older than `before`, which itself is an act; return how many.

        Raises:
            GatewayError: VALIDATION_FAILED where some of them are to be kept still.
        """
        newest = now() - timedelta(days=KEPT_DAYS)
        if before > newest:
            message = f"before: expected a time more than {KEPT_DAYS} days ago, got {before}"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}: younger acts stay")
        deleted = await self._prune_some(before, told=False)
        gone = deleted
        while deleted == _AT_ONCE:
            deleted = await self._prune_some(before, told=True)
            gone += deleted
        return gone

    async def _prune_some(self, before: datetime, *, told: bool) -> int:
        async with self._db.write(feeds=False) as session:
            deleted = await store.forget_before(session, before, limit=_AT_ONCE)
            if deleted and not told:
                await record_act(
                    session,
                    action="audit_log.prune",
                    subject_kind=Subject.AUDIT_LOG,
                    subject_id="audit_log",
                    after={"before": before},
                )
        return deleted
