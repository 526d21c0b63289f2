"""Audit events in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.paging import Page


class AuditEventOut(BaseModel):
    """One event. `before` and `after` contain the changed fields, with secrets masked."""

    id: str
    at: datetime
    action: str
    subject_kind: str
    subject_id: str
    subject_name: str | None
    actor_id: str | None
    actor_name: str | None
    key_id: str | None
    session_id: str | None
    address: str | None
    system_user: str | None
    request_id: str | None
    # Any: the fields of the target
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, row: AuditEvent) -> Self:
        """Return the response body."""
        columns = {name: getattr(row, name) for name in cls.model_fields if name != "at"}
        return cls(at=row.created_at, **columns)


class AuditEventPage(BaseModel):
    """A page of events."""

    items: list[AuditEventOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[AuditEvent]) -> Self:
        """Return the response body."""
        return cls(
            items=[AuditEventOut.of(row) for row in page.items], next_cursor=page.next_cursor
        )
