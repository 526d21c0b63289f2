"""Rows of acts, as they are looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_tables import AuditAct
from gateway.storage.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFilter:
    """Which acts; None does not ask."""

    owner_id: str | None = None
    """Only acts that concern this profile: None shows everybody's."""
    action: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    actor_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    """Not included."""


async def act_page(session: AsyncSession, which: ActFilter, request: PageRequest) -> Page[AuditAct]:
    """Return a page of acts, newest first; raise INVALID_REQUEST for a foreign cursor."""
    statement = select(AuditAct).where(*_conditions(which))
    return await fetch_page(session, statement, AuditAct, request)


async def forget_before(session: AsyncSession, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` acts older than `before`; return how many there were."""
    old = select(AuditAct.id).where(AuditAct.created_at < before).limit(limit)
    found = list((await session.execute(old)).scalars())
    if found:
        await session.execute(delete(AuditAct).where(AuditAct.id.in_(found)))
    return len(found)


def _conditions(which: ActFilter) -> Iterator[ColumnElement[bool]]:
    asked = (
        (AuditAct.owner_id, which.owner_id),
        (AuditAct.action, which.action),
        (AuditAct.subject_kind, which.subject_kind),
        (AuditAct.subject_id, which.subject_id),
        (AuditAct.actor_id, which.actor_id),
    )
    yield from (column == value for column, value in asked if value is not None)
    if which.since is not None:
        yield AuditAct.created_at >= which.since
    if which.before is not None:
        yield AuditAct.created_at < which.before
