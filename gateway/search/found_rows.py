"""The rows of a search as its items, in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.keys import mask
from gateway.auth.lifetime import state_at
from gateway.search.items import FoundItem, SearchKind
from gateway.storage.clock import now
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import ApiKey, Deployment, Flow
from gateway.storage.webhook_tables import WebhookDelivery


async def flow_items(session: AsyncSession, ids: Sequence[str]) -> list[FoundItem]:
    """Return flows."""
    rows = await session.execute(select(Flow.id, Flow.name).where(Flow.id.in_(ids)))
    return _ordered(
        ids, (FoundItem(kind=SearchKind.FLOW, id=id_, title=name) for id_, name in rows)
    )


async def deployment_items(session: AsyncSession, ids: Sequence[str]) -> list[FoundItem]:
    """Return deployments."""
    statement = select(
        Deployment.id,
        Deployment.name,
        Deployment.execution_mode,
        Deployment.live_version,
        Deployment.status,
    ).where(Deployment.id.in_(ids))
    items = (
        FoundItem(
            kind=SearchKind.DEPLOYMENT,
            id=row.id,
            title=row.name,
            subtitle=f"{row.execution_mode}, version {row.live_version}",
            state=row.status,
        )
        for row in await session.execute(statement)
    )
    return _ordered(ids, items)


async def key_items(session: AsyncSession, ids: Sequence[str]) -> list[FoundItem]:
    """Return API keys."""
    rows = (await session.execute(select(ApiKey).where(ApiKey.id.in_(ids)))).scalars()
    moment = now()
    items = (
        FoundItem(
            kind=SearchKind.API_KEY,
            id=row.id,
            title=row.name,
            subtitle=mask(row.display_prefix, row.display_suffix),
            state=state_at(row, moment),
        )
        for row in rows
    )
    return _ordered(ids, items)


async def run_items(session: AsyncSession, ids: Sequence[str]) -> list[FoundItem]:
    """Return runs, with the names of their deployments."""
    statement = select(
        RunRow.id, RunRow.deployment_id, RunRow.version, RunRow.status, RunRow.test
    ).where(RunRow.id.in_(ids))
    rows = (await session.execute(statement)).all()
    names = await _deployment_names(session, {row.deployment_id for row in rows})
    items = (
        FoundItem(
            kind=SearchKind.RUN,
            id=row.id,
            title=names.get(row.deployment_id, row.id),
            subtitle="test of a draft" if row.test else f"version {row.version}",
            state=row.status,
        )
        for row in rows
    )
    return _ordered(ids, items)


async def delivery_items(
    session: AsyncSession, profile_id: str, message_id: str
) -> list[FoundItem]:
    """Return the profile's webhook delivery of this id, if there is one."""
    statement = select(
        WebhookDelivery.event, WebhookDelivery.deployment_id, WebhookDelivery.status
    ).where(WebhookDelivery.message_id == message_id, WebhookDelivery.profile_id == profile_id)
    rows = (await session.execute(statement)).all()
    names = await _deployment_names(session, {row.deployment_id for row in rows})
    return [
        FoundItem(
            kind=SearchKind.WEBHOOK_DELIVERY,
            id=message_id,
            title=row.event,
            subtitle=names.get(row.deployment_id),
            state=row.status,
        )
        for row in rows
    ]


async def _deployment_names(session: AsyncSession, ids: set[str]) -> Mapping[str, str]:
    statement = select(Deployment.id, Deployment.name).where(Deployment.id.in_(ids))
    return {row.id: row.name for row in await session.execute(statement)} if ids else {}


def _ordered(ids: Sequence[str], items: Iterable[FoundItem]) -> list[FoundItem]:
    by_id = {item.id: item for item in items}
    return [by_id[id_] for id_ in ids if id_ in by_id]
