"""Queries of audit events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Conditions on events; None: any."""

    owner_id: str | None = None
    """Only events of this profile; None: of all profiles."""
    action: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    actor_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    """Exclusive."""


async def event_page(
    session: AsyncSession, which: AuditFilter, request: PageRequest
) -> Page[AuditEvent]:
    """Return a page of events, newest first; raise INVALID_REQUEST for an invalid cursor."""
    statement = select(AuditEvent).where(*_conditions(which))
    return await fetch_page(session, statement, AuditEvent, request)


async def delete_before(session: AsyncSession, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` events older than `before`; return how many."""
    old = select(AuditEvent.id).where(AuditEvent.created_at < before).limit(limit)
    found = list((await session.execute(old)).scalars())
    if found:
        await session.execute(delete(AuditEvent).where(AuditEvent.id.in_(found)))
    return len(found)


async def has_older(session: AsyncSession, before: datetime) -> bool:
    """Whether there are events older than `before`."""
    old = select(AuditEvent.id).where(AuditEvent.created_at < before).limit(1)
    return (await session.execute(old)).first() is not None


def _conditions(which: AuditFilter) -> Iterator[ColumnElement[bool]]:
    conditions = (
        (AuditEvent.owner_id, which.owner_id),
        (AuditEvent.action, which.action),
        (AuditEvent.subject_kind, which.subject_kind),
        (AuditEvent.subject_id, which.subject_id),
        (AuditEvent.actor_id, which.actor_id),
    )
    yield from (column == value for column, value in conditions if value is not None)
    if which.since is not None:
        yield AuditEvent.created_at >= which.since
    if which.before is not None:
        yield AuditEvent.created_at < which.before
