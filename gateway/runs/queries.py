"""Reads runs: single ones, pages, their events, and the deployments that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.settings import ExecutionMode, NonFinite
from gateway.errors import GatewayError
from gateway.ids import NIL_ID, is_id, normalize_id, run_of_request_id
from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.rows import LABELS, RUNS, run_from_row
from gateway.runs.run import LeaseStatus, NodeEvent, Run, RunMark, RunStatus
from gateway.runs.statements import is_in
from gateway.storage.cache import Cache
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest, fetch_page, nth_key
from gateway.storage.run_tables import RunLabel, RunRow
from gateway.storage.sql import InList, TextList, sql_literal
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode

MAX_EXAMINED = 10_000
"""Runs that a page looks at where no index selects exactly those that match.

So the cost of a page does not grow with the runs that are stored; an index for each filter would
make each run slower.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Selects runs of a profile; None does not restrict."""

    profile_id: str
    deployments: Collection[str] | None = None
    """The deployments that the caller's key covers; None: all."""
    run_keys: Collection[str] | None = None
    """The keys whose runs the caller sees; None: all."""
    deployment_id: str | None = None
    flow_id: str | None = None
    """Also tests of its drafts."""
    status: RunStatus | None = None
    version: int | None = None
    key_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    idempotency_key: str | None = None
    """Selects the run of this key."""
    request_id: str | None = None
    """Selects the runs of the requests with this id."""
    code: str | None = None
    """Of the error."""
    mode: ExecutionMode | None = None
    min_seconds: float | None = None
    """Of the duration: it selects ended runs."""
    test: bool | None = None
    """Only tests of drafts, or none."""
    labels: Sequence[tuple[str, str]] = ()
    """Keys and values, all of which a run has."""


async def run_page(session: AsyncSession, run_filter: RunFilter, request: PageRequest) -> Page[Run]:
    """Return a page of runs, newest first, without inputs and outputs.

    It may have fewer runs than asked for although there are more: MAX_EXAMINED runs are looked at.

    Raises:
        GatewayError: INVALID_REQUEST if the cursor is invalid.
    """
    last, table = None, RunLabel if run_filter.labels else RunRow
    if any(True for _ in _unindexed(run_filter)):
        last = await nth_key(session, _indexed_runs(run_filter), table, request, MAX_EXAMINED)
    page = await fetch_page(session, filtered_runs(run_filter), table, request, last=last)
    return Page(items=[run_from_row(row) for row in page.items], next_cursor=page.next_cursor)


def filtered_runs(run_filter: RunFilter) -> sa.Select[RunRow]:
    """Return the query for the runs that match the filter. Every combination uses an index."""
    return _indexed_runs(run_filter).where(*_unindexed(run_filter))


def _indexed_runs(run_filter: RunFilter) -> sa.Select[RunRow]:
    """Return the query for the runs that an index selects, of which few or none do not match."""
    if run_filter.labels:
        return _labelled_runs(run_filter)
    query = sa.select(RunRow).where(_owner(run_filter) == run_filter.profile_id)
    if run_filter.deployment_id is not None:
        query = query.where(RUNS.c.deployment_id == normalize_id(run_filter.deployment_id))
    status = run_filter.status
    if run_filter.code is not None:
        # Repeats the condition of the partial indexes by code.
        query = query.where(RUNS.c.error_code == run_filter.code, RUNS.c.error_code.is_not(None))
    elif status is not None and status is not RunStatus.COMPLETED:
        # Likewise those by status.
        query = query.where(is_in(status), RUNS.c.status != sql_literal(RunStatus.COMPLETED))
    if run_filter.since is not None:
        query = query.where(RUNS.c.created_at >= run_filter.since)
    if run_filter.before is not None:
        query = query.where(RUNS.c.created_at < run_filter.before)
    if run_filter.idempotency_key is not None:
        key = RUNS.c.idempotency_key == run_filter.idempotency_key
        query = query.where(key, RUNS.c.fingerprint.is_not(None))
    if run_filter.request_id is not None:
        query = query.where(of_request(run_filter.profile_id, run_filter.request_id))
    return query


def _labelled_runs(run_filter: RunFilter) -> sa.Select[RunRow]:
    """Return the query for the runs with the first label, by the index of labels."""
    key, value = run_filter.labels[0]
    query = (
        sa.select(RunRow)
        .select_from(RunLabel)
        .join(RunRow, RunRow.id == RunLabel.id)
        .where(
            RunLabel.profile_id == run_filter.profile_id,
            RunLabel.key == key,
            RunLabel.value == value,
        )
    )
    if run_filter.since is not None:
        query = query.where(RunLabel.created_at >= run_filter.since)
    if run_filter.before is not None:
        query = query.where(RunLabel.created_at < run_filter.before)
    return query


def of_request(profile_id: str, request_id: str) -> sa.ColumnElement[bool]:
    """Return the condition that a profile's run was made by a request with this id."""
    given = (
        RUNS.c.profile_id == profile_id,
        RUNS.c.request_id == request_id,
        RUNS.c.request_id != sql_literal(""),  # repeats the condition of the partial index
    )
    run_id = run_of_request_id(request_id)
    if run_id is None:
        return sa.and_(*given)
    without = RUNS.c.id == run_id, RUNS.c.profile_id == profile_id, RUNS.c.request_id == ""
    # Not `or_`: without statistics, SQLite would look at all runs of the profile.
    return RUNS.c.id.in_(
        sa.union_all(sa.select(RUNS.c.id).where(*given), sa.select(RUNS.c.id).where(*without))
    )


def _unindexed(run_filter: RunFilter) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions that are checked for each run which the index selects."""
    status = run_filter.status
    if run_filter.labels:
        yield from _beside_label(run_filter)
    elif status is RunStatus.COMPLETED or (status is not None and run_filter.code is not None):
        yield is_in(status)
    flow_id, key_id = run_filter.flow_id, run_filter.key_id
    equal = (
        (RUNS.c.flow_id, None if flow_id is None else normalize_id(flow_id)),
        (RUNS.c.version, run_filter.version),
        (RUNS.c.key_id, None if key_id is None else normalize_id(key_id)),
        (RUNS.c.mode, run_filter.mode),
    )
    for column, value in equal:
        if value is not None:
            yield column == value
    if run_filter.min_seconds is not None:
        yield RUNS.c.duration_seconds >= run_filter.min_seconds
    if run_filter.test is not None:
        is_test = RUNS.c.deployment_id == NIL_ID
        yield is_test if run_filter.test else ~is_test
    seen = ((RUNS.c.deployment_id, run_filter.deployments), (RUNS.c.key_id, run_filter.run_keys))
    for column, ids in seen:
        if ids is not None:
            yield InList(column, sa.literal(sorted(ids), TextList()))


def _beside_label(run_filter: RunFilter) -> Iterator[sa.ColumnElement[bool]]:
    """Yield what else is asked of runs with a label, in forms that no index matches."""
    for key, value in run_filter.labels[1:]:
        of_run = LABELS.alias()
        is_other = of_run.c.id == RUNS.c.id, of_run.c.key == key, of_run.c.value == value
        yield sa.exists().where(*is_other)
    deployment_id = run_filter.deployment_id
    equal = (
        (RUNS.c.deployment_id, None if deployment_id is None else normalize_id(deployment_id)),
        (RUNS.c.status, run_filter.status),
        (RUNS.c.error_code, run_filter.code),
        (RUNS.c.idempotency_key, run_filter.idempotency_key),
    )
    for column, wanted in equal:
        if wanted is not None:
            yield column.concat(sql_literal("")) == wanted
    if run_filter.idempotency_key is not None:
        yield RUNS.c.fingerprint.is_not(None)
    if run_filter.request_id is not None:
        yield of_request(run_filter.profile_id, run_filter.request_id)


def _owner(run_filter: RunFilter) -> sa.ColumnElement[str]:
    """Return the profile's column, or with an idempotency key an expression that has no index.

    The index by key is selective; the one by profile would match all runs of the profile.
    """
    column: sa.ColumnElement[str] = RUNS.c.profile_id
    return column if run_filter.idempotency_key is None else column.concat(sql_literal(""))


class RunQueries:
    """The part of RunStore that only reads."""

    _db: Database

    async def events(self, run_id: str, after: int = 0) -> list[NodeEvent]:
        """Return the node events of a run after the event numbered `after`, in order."""
        values = {"run_id": run_id, "after": after}
        async with self._db.read() as session:
            return [
                NodeEvent(
                    number=row.number, node_id=row.node_id, data=row.data, attempt=row.attempt
                )
                for row in await session.execute(sql.EVENTS_AFTER, values)
            ]

    async def get(self, run_id: str) -> Run | None:
        """Return a run with its output, or None."""
        async with self._db.read() as session:
            return await read_run(session, run_id)

    async def input_of(self, run_id: str) -> bytes | None:
        """Return the input of a run, or None if it was not kept."""
        async with self._db.read() as session:
            found = await session.execute(sql.INPUT, {"run_id": run_id})
            return found.scalar_one_or_none()

    async def draft_of(self, run_id: str) -> bytes | None:
        """Return the flow of a test run, or None if it was deleted."""
        async with self._db.read() as session:
            found = await session.execute(sql.DRAFT, {"run_id": run_id})
            return found.scalar_one_or_none()

    async def non_finite_of(self, deployment_id: str) -> NonFinite:
        """Return a deployment's setting; the default if the deployment is gone."""
        query = sa.select(Deployment.non_finite).where(Deployment.id == deployment_id)
        async with self._db.read() as session:
            found = await session.scalar(query)
        return NonFinite.STRING if found is None else NonFinite(found)

    async def poll_cancelled(self, held: Sequence[tuple[str, int]]) -> LeaseStatus:
        """Return what `renew_leases` would, without a write."""
        async with self._db.read() as session:
            found = (await session.execute(sql.HELD_STATUS, rows.held_params(held))).all()
        return rows.lease_status(held, found)

    async def ended(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of the given runs that have ended, with their output."""
        async with self._db.read() as session:
            found = await session.execute(sql.ENDED, {"run_ids": run_ids})
            return [rows.run_with_output(row) for row in found]

    async def marks(self, run_ids: Sequence[str]) -> dict[str, RunMark]:
        """Return the marks of the given runs; deleted runs are omitted."""
        async with self._db.read() as session:
            return {
                row.id: RunMark(
                    RunStatus(row.status), row.cancel_requested, row.attempt, row.event_count
                )
                for row in await session.execute(sql.MARKS, {"run_ids": run_ids})
            }

    async def names(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return the names of the deployments and API keys of runs, by id, as far as they exist."""
        values = {
            "deployment_ids": sorted({run.deployment_id for run in runs}),
            "key_ids": sorted({run.key_id for run in runs if run.key_id is not None}),
        }
        async with self._db.read() as session:
            found = await session.execute(sql.NAMES, values)
            return {row.id: row.name for row in found}

    async def page(self, run_filter: RunFilter, request: PageRequest) -> Page[Run]:
        """Return a page of runs, newest first, without their output."""
        async with self._db.read() as session:
            return await run_page(session, run_filter, request)


async def read_run(session: AsyncSession, run_id: str) -> Run | None:
    """Return a run with its output, or None."""
    row = (await session.execute(sql.GET, {"run_id": run_id})).one_or_none()
    return None if row is None else rows.run_with_output(row)


_DEPLOYMENT = sa.select(RUNS.c.deployment_id).where(RUNS.c.id == sa.bindparam("run_id"))


class RunDeployments:
    """Caches the deployment ids of runs, for CORS preflights, which come without a key."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._deployments: Cache[str, str] = Cache(self._load)

    async def deployment_of(self, run_id: str) -> str | None:
        """Return the deployment's id, or None for an unknown run."""
        if not is_id(run_id):
            return None
        try:
            return await self._deployments.find(run_id.lower())
        except GatewayError:
            return None

    async def _load(self, run_id: str) -> str:
        async with self._db.read() as session:
            found = await session.execute(_DEPLOYMENT, {"run_id": run_id})
        deployment_id: str | None = found.scalar_one_or_none()
        if deployment_id is None:
            raise GatewayError(ErrorCode.NOT_FOUND, f"unknown run '{run_id}'")
        return deployment_id
