"""What a list of flows shows of each: its nodes, deployments, last run and last author."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.graph_diff import diff_graphs
from gateway.flows.store import FlowSort, flow_page
from gateway.storage.database import Database
from gateway.storage.etags import row_etag
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.paging import Page, PageRequest
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import Deployment, DeploymentVersion, Flow, Profile

MAX_DEPLOYMENTS = 10
"""Deployments that are shown of a flow, the newest ones."""
MAX_PAGE = 50
"""Flows: their graphs, of up to 4 MiB each, are in memory together."""

# Any, throughout: rows of columns of several types
_LIVE = and_(
    DeploymentVersion.deployment_id == Deployment.id,
    DeploymentVersion.version == Deployment.live_version,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDeployment:
    """A deployment of a flow."""

    id: str
    name: str
    version: int
    """The live one."""
    execution_mode: str
    status: str
    differs: bool
    """Whether the draft has another graph than the live version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The last run of the deployments that are shown."""

    id: str
    deployment_id: str
    status: str
    error_code: str | None
    duration_seconds: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSummary:
    """A flow, as a list shows it."""

    row: Flow
    etag: str
    kinds: Mapping[str, int]
    """Node type → count."""
    models: Sequence[str]
    deployment_count: int
    deployments: Sequence[FlowDeployment]
    """The newest MAX_DEPLOYMENTS."""
    last_run: LastRun | None
    updated_by: str | None
    """The e-mail address of the user who saved it last; None: not known."""


class FlowSummaries:
    """Summaries of a profile's flows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(
        self, profile_id: str, request: PageRequest, *, q: str | None, sort: FlowSort
    ) -> Page[FlowSummary]:
        """Return a page of up to MAX_PAGE summaries.

        It takes a fixed number of queries, and one for each live graph that is compared.

        Raises:
            GatewayError: INVALID_REQUEST if the cursor is of another list.
        """
        request = replace(request, limit=min(request.limit, MAX_PAGE))
        async with self._db.read() as session:
            page = await flow_page(session, profile_id, request, q=q, sort=sort)
            ids = [flow.id for flow in page.items]
            deployments = await _deployments(session, ids)
            runs = await _last_runs(session, [row.id for row in deployments])
            authors = await _authors(session, ids)
        items: list[FlowSummary] = []
        for flow in page.items:
            await asyncio.sleep(0)  # hashing a large graph takes milliseconds
            own = [row for row in deployments if row.flow_id == flow.id]
            changed = [row.id for row in own if await self._differs(row, flow)]
            items.append(_summary(flow, own, changed, runs, authors))
        return Page(items=items, next_cursor=page.next_cursor)

    async def _differs(self, deployment: Row[Any], flow: Flow) -> bool:
        """Return whether a deployment's live graph is another than the draft's.

        It is read and compared only where the draft was saved after the version was made. One graph
        is in memory at a time, and no transaction is open meanwhile.
        """
        if deployment.drafted_at == flow.updated_at:
            return False
        statement = select(DeploymentVersion.definition).where(
            DeploymentVersion.deployment_id == deployment.id,
            DeploymentVersion.version == deployment.live_version,
        )
        async with self._db.read() as session:
            live = await session.scalar(statement)
        return live is not None and not diff_graphs(live, flow.definition).empty


async def _deployments(session: AsyncSession, flow_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Return the newest deployments of each flow, with the count of all."""
    newest = (Deployment.created_at.desc(), Deployment.id.desc())
    ranked = (
        select(
            Deployment.id,
            func.count().over(partition_by=Deployment.flow_id).label("total"),
            func.row_number().over(partition_by=Deployment.flow_id, order_by=newest).label("rank"),
        )
        .where(Deployment.flow_id.in_(flow_ids), Deployment.status != "deleted")
        .subquery()
    )
    statement = (
        select(
            Deployment.id,
            Deployment.flow_id,
            Deployment.name,
            Deployment.live_version,
            Deployment.execution_mode,
            Deployment.status,
            DeploymentVersion.drafted_at,
            ranked.c.total,
        )
        .join(ranked, ranked.c.id == Deployment.id)
        .join(DeploymentVersion, _LIVE)
        .where(ranked.c.rank <= MAX_DEPLOYMENTS)
        .order_by(*newest)
    )
    return (await session.execute(statement)).all()


async def _last_runs(session: AsyncSession, deployment_ids: Sequence[str]) -> Mapping[str, LastRun]:
    """Return the last run of each deployment, which an index has."""
    last = (
        select(RunRow.id)
        .where(RunRow.deployment_id == Deployment.id)
        .order_by(RunRow.created_at.desc(), RunRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    newest = select(last.label("id")).where(Deployment.id.in_(deployment_ids)).subquery()
    statement = select(
        RunRow.id,
        RunRow.deployment_id,
        RunRow.status,
        RunRow.error_code,
        RunRow.duration_seconds,
        RunRow.created_at,
    ).join(newest, newest.c.id == RunRow.id)
    return {
        row.deployment_id: LastRun(
            id=row.id,
            deployment_id=row.deployment_id,
            status=row.status,
            error_code=row.error_code,
            duration_seconds=row.duration_seconds,
            created_at=row.created_at,
        )
        for row in await session.execute(statement)
    }


async def _authors(session: AsyncSession, flow_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the e-mail address of who saved each flow last, if that is known."""
    newest = (
        select(FlowRevision.flow_id, func.max(FlowRevision.number).label("number"))
        .where(FlowRevision.flow_id.in_(flow_ids))
        .group_by(FlowRevision.flow_id)
        .subquery()
    )
    statement = (
        select(FlowRevision.flow_id, Profile.email)
        .join(
            newest,
            and_(newest.c.flow_id == FlowRevision.flow_id, newest.c.number == FlowRevision.number),
        )
        .join(Profile, Profile.id == FlowRevision.created_by)
    )
    return {row.flow_id: row.email for row in await session.execute(statement)}


def _summary(
    flow: Flow,
    own: Sequence[Row[Any]],
    changed: Sequence[str],
    runs: Mapping[str, LastRun],
    authors: Mapping[str, str],
) -> FlowSummary:
    nodes = flow.definition["nodes"]
    ran = [runs[row.id] for row in own if row.id in runs]
    models = (node["config"]["model"] for node in nodes if node["type"] == "inference")
    return FlowSummary(
        row=flow,
        etag=row_etag(flow),
        kinds=Counter(node["type"] for node in nodes),
        models=list(dict.fromkeys(models)),
        deployment_count=own[0].total if own else 0,
        deployments=[
            FlowDeployment(
                id=row.id,
                name=row.name,
                version=row.live_version,
                execution_mode=row.execution_mode,
                status=row.status,
                differs=row.id in changed,
            )
            for row in own
        ],
        last_run=max(ran, key=lambda run: (run.created_at, run.id), default=None),
        updated_by=authors.get(flow.id),
    )
