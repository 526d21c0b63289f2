"""What streams ask the database: whose something is, what has changed, and who may still listen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.account_tables import ConsoleSession
from gateway.storage.run_tables import RunRow
from gateway.storage.sql import in_list, seconds_from_now, sql_literal
from gateway.storage.tables import ApiKey, InferenceServer, Model, Owned, Profile
from gateway.storage.watch_tables import WatchedCall
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint

MAX_ROWS = 300
"""Of one query for changes; where there are more, a change of the whole topic is told."""
_RECENT_SECONDS = 5.0
"""A row may be committed so long after its time: it waits in a batch, or for a lock."""
_ATTEMPT_SECONDS = 60.0
"""The same for attempts of deliveries, whose time is that of their start."""
_CALL_SECONDS = 30.0
_RUN_COLUMNS = (
    RunRow.id,
    RunRow.profile_id,
    RunRow.deployment_id,
    RunRow.status,
    RunRow.cancel_requested,
    RunRow.attempt,
    RunRow.event_count,
)
_DELIVERY_COLUMNS = (
    WebhookDelivery.id,
    WebhookDelivery.profile_id,
    WebhookDelivery.deployment_id,
    WebhookDelivery.status,
    WebhookDelivery.failures,
    WebhookDelivery.last_attempt_at,
)


class Changeable(NamedTuple):
    """A run or a delivery, with what changes of it."""

    id: str
    profile_id: str
    deployment_id: str
    status: str
    mark: str
    """Differs when it has changed."""


class Found(NamedTuple):
    """What queries for changes have found."""

    rows: Mapping[str, Changeable]
    """By id."""
    is_full: bool
    """Whether a query has found as many as it may: there are more."""

    def with_rows(self, rows: Sequence[Changeable]) -> Found:
        """Return this with what another query has found."""
        found = {**self.rows, **{row.id: row for row in rows}}
        return Found(found, is_full=self.is_full or len(rows) >= MAX_ROWS)


async def owners(
    session: AsyncSession, table: type[Owned], ids: Collection[str]
) -> Mapping[str, str]:
    """Return the profile of each row that exists."""
    statement = select(table.id, table.profile_id).where(in_list(table.id, "ids"))
    rows = await session.execute(statement, {"ids": list(ids)})
    return {row[0]: row[1] for row in rows}


async def models_of_servers(
    session: AsyncSession, ids: Collection[str]
) -> Mapping[str, Model | None]:
    """Return the model's row, if it has one, of each inference server that exists."""
    statement = (
        select(InferenceServer.id, Model)
        .join(Model, Model.name == InferenceServer.model, isouter=True)
        .where(in_list(InferenceServer.id, "ids"))
    )
    rows = await session.execute(statement, {"ids": list(ids)})
    return {row[0]: row[1] for row in rows}


async def models_named(session: AsyncSession, names: Collection[str]) -> Mapping[str, Model]:
    """Return the rows of models by name."""
    statement = select(Model).where(in_list(Model.name, "names"))
    rows = await session.execute(statement, {"names": list(names)})
    return {row.name: row for row in rows.scalars()}


async def recent_calls(session: AsyncSession, profiles: Collection[str]) -> Sequence[WatchedCall]:
    """Return the newest calls of these users' watched deployments that were just reported."""
    statement = (
        select(WatchedCall)
        .where(
            in_list(WatchedCall.profile_id, "profiles"),
            WatchedCall.created_at >= seconds_from_now(-_CALL_SECONDS),
        )
        .order_by(WatchedCall.created_at.desc())
        .limit(MAX_ROWS)
    )
    rows = await session.execute(statement, {"profiles": list(profiles)})
    return rows.scalars().all()[::-1]


async def changing_runs(session: AsyncSession, profiles: Collection[str]) -> Found:
    """Return the runs of these users that are not finished or were just created."""
    of_users = select(*_RUN_COLUMNS).where(in_list(RunRow.profile_id, "profiles"))
    recent = RunRow.created_at >= seconds_from_now(-_RECENT_SECONDS)
    unfinished = RunRow.status.in_((sql_literal("queued"), sql_literal("running")))
    # As the partial index has it
    not_completed = RunRow.status != sql_literal("completed")
    statements = (of_users.where(recent), of_users.where(unfinished, not_completed))
    return await _find(session, statements, profiles, _run)


async def runs_with(session: AsyncSession, ids: Collection[str]) -> list[Changeable]:
    """Return runs by id."""
    statement = select(*_RUN_COLUMNS).where(in_list(RunRow.id, "ids"))
    return [_run(row) for row in await session.execute(statement, {"ids": list(ids)})]


async def changing_deliveries(session: AsyncSession, profiles: Collection[str]) -> Found:
    """Return the deliveries of these users that were just created or attempted."""
    created = select(*_DELIVERY_COLUMNS).where(
        in_list(WebhookDelivery.profile_id, "profiles"),
        WebhookDelivery.created_at >= seconds_from_now(-_RECENT_SECONDS),
    )
    endpoints = select(WebhookEndpoint.id).where(in_list(WebhookEndpoint.profile_id, "profiles"))
    attempted = (
        select(*_DELIVERY_COLUMNS)
        .join(WebhookAttempt, WebhookAttempt.delivery_id == WebhookDelivery.id)
        .where(
            WebhookAttempt.endpoint_id.in_(endpoints),
            WebhookAttempt.started_at >= seconds_from_now(-_ATTEMPT_SECONDS),
        )
    )
    return await _find(session, (created, attempted), profiles, _delivery)


async def roles_of_sessions(
    session: AsyncSession, ids: Collection[str], moment: datetime, idle: timedelta
) -> Mapping[str, str]:
    """Return the user's role of each console session that is still valid."""
    statement = (
        select(ConsoleSession.id, Profile.role)
        .join(Profile, Profile.id == ConsoleSession.profile_id)
        .where(
            in_list(ConsoleSession.id, "ids"),
            ConsoleSession.expires_at > moment,
            ConsoleSession.last_seen_at > moment - idle,
            Profile.state == "active",
        )
    )
    rows = await session.execute(statement, {"ids": list(ids)})
    return {row[0]: row[1] for row in rows}


async def roles_of_keys(
    session: AsyncSession, ids: Collection[str], moment: datetime
) -> Mapping[str, str]:
    """Return the user's role of each API key that is still valid."""
    statement = (
        select(ApiKey.id, Profile.role)
        .join(Profile, Profile.id == ApiKey.profile_id)
        .where(
            in_list(ApiKey.id, "ids"),
            ApiKey.state == "active",
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > moment),
            or_(ApiKey.grace_ends_at.is_(None), ApiKey.grace_ends_at > moment),
            Profile.state == "active",
        )
    )
    rows = await session.execute(statement, {"ids": list(ids)})
    return {row[0]: row[1] for row in rows}


# Any, below: rows of several columns
async def _find(
    session: AsyncSession,
    statements: Iterable[Select[*tuple[Any, ...]]],
    profiles: Collection[str],
    build: Callable[[Row[*tuple[Any, ...]]], Changeable],
) -> Found:
    found = Found({}, is_full=False)
    for statement in statements:
        rows = await session.execute(statement.limit(MAX_ROWS), {"profiles": list(profiles)})
        found = found.with_rows([build(row) for row in rows])
    return found


def _run(row: Row[*tuple[Any, ...]]) -> Changeable:
    status = "cancelling" if row.cancel_requested and row.status == "running" else row.status
    mark = f"{status} {row.attempt} {row.event_count}"
    return Changeable(row.id, row.profile_id, row.deployment_id, status, mark)


def _delivery(row: Row[*tuple[Any, ...]]) -> Changeable:
    mark = f"{row.status} {row.failures} {row.last_attempt_at}"
    return Changeable(row.id, row.profile_id, row.deployment_id, row.status, mark)
