"""Audit events in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.paging import Page


class AuditEventOut(BaseModel):
    """One event. `before` and `after` contain the changed fields, with secrets masked."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the event."""
    at: datetime
    """When it happened (UTC)."""
    action: str
    """What was done, such as `deployment.update`."""
    subject_kind: str
    """What it was done to: the kind, such as `deployment`, `api_key` or `model`."""
    subject_id: str
    """Id of what it was done to; of a model the name, of a version `<deployment>/<number>`."""
    subject_name: str | None
    """The name of what it was done to, at the time; null: it has none."""
    actor_id: str | None
    """Id of the user who did it; null: the installation, or a client without valid credentials."""
    actor_name: str | None
    """The e-mail address of that user, at the time; null: there is no such user."""
    key_id: str | None
    """Id of the API key that was used; null: none."""
    session_id: str | None
    """Id of the session that was used; null: none."""
    address: str | None
    """The client address; null: the command line, or not known."""
    system_user: str | None
    """The operating system's user on the command line; null elsewhere."""
    request_id: str | None
    """The `X-Request-ID` of the request; null: there was none."""
    # Any: the fields of the target
    before: dict[str, Any] | None
    """The changed fields with their old values; null: it was created."""
    after: dict[str, Any] | None
    """The changed fields with their new values; null: it was deleted."""

    @classmethod
    def of(cls, row: AuditEvent) -> Self:
        """Return the response body."""
        columns = {name: getattr(row, name) for name in cls.model_fields if name != "at"}
        return cls(at=row.created_at, **columns)


class AuditEventPage(BaseModel):
    """A page of events."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[AuditEventOut]
    """The events of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[AuditEvent]) -> Self:
        """Return the response body."""
        return cls(
            items=[AuditEventOut.of(row) for row in page.items], next_cursor=page.next_cursor
        )
