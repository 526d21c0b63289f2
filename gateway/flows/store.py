"""Database queries for flows."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.tables import Deployment, Flow


async def find_flow(
    session: AsyncSession, profile_id: str, flow_id: str, *, lock: bool = False
) -> Flow:
    """Return the profile's flow, or raise NOT_FOUND."""
    return await find_owned(session, Flow, profile_id, flow_id, lock=lock)


async def flow_page(session: AsyncSession, profile_id: str, request: PageRequest) -> Page[Flow]:
    """Return a page of the profile's flows."""
    return await fetch_page(
        session, select(Flow).where(Flow.profile_id == profile_id), Flow, request
    )


async def deployments_of(session: AsyncSession, flow_id: str) -> int:
    """Count the deployments of the flow that are not deleted."""
    statement = select(func.count()).where(
        Deployment.flow_id == flow_id, Deployment.status != "deleted"
    )
    return (await session.execute(statement)).scalar_one()
