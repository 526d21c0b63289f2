"""The acts in a database, for tests that look at what was written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import insert, select

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.clock import now
from gateway.storage.database import Database


async def acts_in(db: Database) -> Sequence[AuditEvent]:
    """Return every act, oldest first."""
    async with db.read() as session:
        ordered = select(AuditEvent).order_by(AuditEvent.created_at, AuditEvent.id)
        return list((await session.execute(ordered)).scalars())


async def write_acts(
    db: Database, count: int, *, at: datetime | None = None, name: str = "", weight: int = 0
) -> None:
    """Write acts as they would be found; `weight` is the length of what each has to tell."""
    row = {
        "created_at": at or now(),
        "action": "flow.update",
        "subject_kind": "flow",
        "subject_id": str(uuid4()),
        "subject_name": name,
        "after": {"text": "x" * weight},
    }
    async with db.write() as session:
        await session.execute(
            insert(AuditEvent), [{**row, "id": str(uuid4())} for _ in range(count)]
        )
