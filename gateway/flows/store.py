"""Database queries for flows."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.ownership import find_owned
from gateway.storage.paging import NEWEST_FIRST, Page, PageOrder, PageRequest, fetch_page
from gateway.storage.tables import Deployment, Flow


async def find_flow(
    session: AsyncSession, profile_id: str, flow_id: str, *, lock: bool = False
) -> Flow:
    """Return the profile's flow, or raise NOT_FOUND."""
    return await find_owned(session, Flow, profile_id, flow_id, lock=lock)


class FlowSort(StrEnum):
    """The order of a list of flows."""

    CREATED = "created"
    """The newest first."""
    UPDATED = "updated"
    """The last saved first."""
    NAME = "name"


_ORDERS = {
    FlowSort.CREATED: NEWEST_FIRST,
    FlowSort.UPDATED: PageOrder(column="updated_at", descends=True),
    FlowSort.NAME: PageOrder(column="name", descends=False, parse=str),
}


async def flow_page(
    session: AsyncSession,
    profile_id: str,
    request: PageRequest,
    *,
    q: str | None = None,
    sort: FlowSort = FlowSort.CREATED,
) -> Page[Flow]:
    """Return a page of the profile's flows, with `q` of those whose name contains it."""
    statement = select(Flow).where(Flow.profile_id == profile_id)
    if q:
        statement = statement.where(Flow.name.icontains(q, autoescape=True))
    return await fetch_page(session, statement, Flow, request, _ORDERS[sort])


async def deployments_of(session: AsyncSession, flow_id: str) -> int:
    """Count the deployments of the flow that are not deleted."""
    statement = select(func.count()).where(
        Deployment.flow_id == flow_id, Deployment.status != "deleted"
    )
    return (await session.execute(statement)).scalar_one()
