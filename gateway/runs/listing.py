"""Runs in pages: every combination of filters walks an index from its newest end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.ids import normalize_id
from gateway.runs.rows import RUNS, run_from_row
from gateway.runs.run import Run, RunStatus
from gateway.runs.statements import is_in
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.run_tables import RunRow
from gateway.storage.sql import InList, TextList, sql_literal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs of a profile; what is None does not narrow."""

    profile_id: str
    deployments: Collection[str] | None = None
    """The only ones that the asker may see."""
    deployment_id: str | None = None
    status: RunStatus | None = None
    version: int | None = None
    key_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    idempotency_key: str | None = None
    """The run that it stands for."""


async def run_page(session: AsyncSession, which: RunFilter, request: PageRequest) -> Page[Run]:
    """Return the requested page of runs, newest first, without what went in and came out.

    Raises:
        GatewayError: INVALID_REQUEST where the cursor is none of ours.
    """
    page = await fetch_page(session, filtered_runs(which), RunRow, request)
    return Page(items=[run_from_row(row) for row in page.items], next_cursor=page.next_cursor)


def filtered_runs(which: RunFilter) -> sa.Select[RunRow]:
    """Return the query for the runs that the filter lets through."""
    query = sa.select(RunRow).where(_owner(which) == which.profile_id)
    if which.deployments is not None:
        allowed = sa.literal(sorted(which.deployments), TextList())
        query = query.where(InList(RUNS.c.deployment_id, allowed))
    if which.deployment_id is not None:
        query = query.where(RUNS.c.deployment_id == normalize_id(which.deployment_id))
    if which.key_id is not None:
        query = query.where(RUNS.c.key_id == normalize_id(which.key_id))
    if which.status is not None:
        query = query.where(is_in(which.status))
        if which.status is not RunStatus.COMPLETED:
            # Said once more, for it is the condition of the indexes by status.
            query = query.where(RUNS.c.status != sql_literal(RunStatus.COMPLETED))
    if which.version is not None:
        query = query.where(RUNS.c.version == which.version)
    if which.since is not None:
        query = query.where(RUNS.c.created_at >= which.since)
    if which.before is not None:
        query = query.where(RUNS.c.created_at < which.before)
    if which.idempotency_key is not None:
        key = RUNS.c.idempotency_key == which.idempotency_key
        query = query.where(key, RUNS.c.fingerprint.is_not(None))
    return query


def _owner(which: RunFilter) -> sa.ColumnElement[str]:
    """Return the profile's column; with an idempotency key, so that no index can begin with it.

    The key leads to a run or two, the profile to all that there are.
    """
    column: sa.ColumnElement[str] = RUNS.c.profile_id
    return column if which.idempotency_key is None else column.concat(sql_literal(""))
