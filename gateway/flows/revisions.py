"""Keeps what flows were before: a revision a minute at most, and named ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from gateway.errors import GatewayError
from gateway.flows import store
from gateway.storage.audit_events import ACTOR, AuditTarget, record_event
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.paging import Page, PageOrder, PageRequest, fetch_page
from gateway.storage.stored_json import dump_stored
from gateway.storage.tables import Flow
from protos.errors import ErrorCode

MAX_NUMBER = 999_999_999
"""Of a revision."""
_INTERVAL = timedelta(minutes=1)
"""A save replaces a revision that is not older."""
MAX_UNNAMED = 50
MAX_NAMED = 50
"""Of a flow; the oldest ones are deleted."""
_MAX_BYTES = 32 * 2**20
"""Of all revisions of a flow, as JSON; the newest one is kept in any case."""


def _number(text: str) -> int:
    """Return a revision's number; raise ValueError for any other text."""
    number = int(text)
    if not 0 < number <= MAX_NUMBER:
        raise ValueError(text)
    return number


_ORDER = PageOrder(column="number", descends=True, parse=_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    """What a revision keeps of a flow. Any: JSON."""

    name: str
    definition: Mapping[str, Any]
    since: datetime

    @classmethod
    def of(cls, flow: Flow) -> FlowState:
        """Return the present state."""
        return cls(name=flow.name, definition=flow.definition, since=flow.updated_at)


class FlowRevisions:
    """The revisions of a profile's flows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, profile_id: str, flow_id: str, request: PageRequest) -> Page[FlowRevision]:
        """Return a page of the revisions, newest first, without their graphs.

        Raises:
            GatewayError: NOT_FOUND; INVALID_REQUEST if the cursor is invalid.
        """
        async with self._db.read() as session:
            flow = await store.find_flow(session, profile_id, flow_id)
            statement = (
                select(FlowRevision)
                .where(FlowRevision.flow_id == flow.id)
                .options(defer(FlowRevision.definition, raiseload=True))
            )
            return await fetch_page(session, statement, FlowRevision, request, _ORDER)

    async def get(self, profile_id: str, flow_id: str, number: int) -> FlowRevision:
        """Return one revision, or raise NOT_FOUND."""
        async with self._db.read() as session:
            flow = await store.find_flow(session, profile_id, flow_id)
            statement = select(FlowRevision).where(
                FlowRevision.flow_id == flow.id, FlowRevision.number == number
            )
            found = await session.scalar(statement)
        if found is None:
            message = f"the flow has no revision {number}: it was deleted, or never existed"
            raise GatewayError(ErrorCode.NOT_FOUND, message)
        return found

    async def name(self, profile_id: str, flow_id: str, name: str) -> FlowRevision:
        """Name the present draft, so that it is kept as a revision, or raise NOT_FOUND."""
        async with self._db.write() as session:
            flow = await store.find_flow(session, profile_id, flow_id, lock=True)
            state, newest = FlowState.of(flow), await _newest(session, flow.id)
            if newest is None or not _holds(newest, state):
                newest = _add_missing(session, flow, state, newest)
            elif newest.name is not None:
                newest = _add(session, flow, state, newest)
            newest.name = name
            await _prune(session, flow.id)
            await record_event(
                session,
                action="flow.name_revision",
                target_kind=AuditTarget.FLOW,
                target_id=flow.id,
                target_name=flow.name,
                after={"revision": newest.number, "name": name},
                owner_id=flow.profile_id,
            )
            record_change(session, ChangeKind.FLOW, flow.id)
        return newest


async def keep_revision(session: AsyncSession, flow: Flow, before: FlowState | None) -> None:
    """Keep the present state of a flow, which is locked or new, as its newest revision.

    `before` is what it was until now, if it existed.
    """
    if before is not None and (before.name, before.definition) == (flow.name, flow.definition):
        return
    newest = await _newest(session, flow.id)
    if before is not None and (newest is None or not _holds(newest, before)):
        newest = _add_missing(session, flow, before, newest)
    if newest is not None and _is_replaceable(newest, flow):
        newest.flow_name, newest.definition = flow.name, flow.definition
        newest.definition_bytes = len(dump_stored(flow.definition))
        newest.saved_at = now()
        return
    _add(session, flow, FlowState.of(flow), newest)
    await _prune(session, flow.id)


def _holds(revision: FlowRevision, state: FlowState) -> bool:
    return (revision.flow_name, revision.definition) == (state.name, state.definition)


def _add_missing(
    session: AsyncSession, flow: Flow, state: FlowState, newest: FlowRevision | None
) -> FlowRevision:
    """Add a state that a release without revisions has saved: who did is not known."""
    revision = _add(session, flow, state, newest)
    revision.created_at = revision.saved_at = state.since
    revision.created_by = revision.created_by_key = None
    return revision


def _is_replaceable(newest: FlowRevision, flow: Flow) -> bool:
    is_recent = newest.created_at > now() - _INTERVAL
    return newest.name is None and is_recent and _author(flow) == _author_of(newest)


def _author_of(revision: FlowRevision) -> tuple[str | None, str | None]:
    return revision.created_by, revision.created_by_key


def _author(flow: Flow) -> tuple[str | None, str | None]:
    actor = ACTOR.get()
    return actor.profile_id or flow.profile_id, actor.key_id


def _add(
    session: AsyncSession, flow: Flow, state: FlowState, newest: FlowRevision | None
) -> FlowRevision:
    created_by, created_by_key = _author(flow)
    revision = FlowRevision(
        flow_id=flow.id,
        number=1 if newest is None else newest.number + 1,
        flow_name=state.name,
        definition=dict(state.definition),
        definition_bytes=len(dump_stored(state.definition)),
        created_by=created_by,
        created_by_key=created_by_key,
    )
    session.add(revision)
    return revision


async def _newest(session: AsyncSession, flow_id: str) -> FlowRevision | None:
    statement = (
        select(FlowRevision)
        .where(FlowRevision.flow_id == flow_id)
        .order_by(FlowRevision.number.desc())
        .limit(1)
    )
    return await session.scalar(statement)


async def _prune(session: AsyncSession, flow_id: str) -> None:
    """Delete the oldest revisions above the limits."""
    await session.flush()
    statement = (
        select(FlowRevision.number, FlowRevision.name, FlowRevision.definition_bytes)
        .where(FlowRevision.flow_id == flow_id)
        .order_by(FlowRevision.number.desc())
    )
    rows = (await session.execute(statement)).all()
    surplus = _surplus([(row.number, row.name, row.definition_bytes) for row in rows])
    if surplus:
        await session.execute(
            delete(FlowRevision).where(
                FlowRevision.flow_id == flow_id, FlowRevision.number.in_(surplus)
            )
        )


def _surplus(newest_first: Sequence[tuple[int, str | None, int]]) -> list[int]:
    left = {True: MAX_NAMED, False: MAX_UNNAMED}
    total = 0
    surplus: list[int] = []
    for number, name, size in newest_first:
        is_named = name is not None
        left[is_named] -= 1
        total += size
        is_newest = number == newest_first[0][0]
        if not is_newest and (left[is_named] < 0 or total > _MAX_BYTES):
            surplus.append(number)
            total -= size
    return surplus
