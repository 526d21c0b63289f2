"""`/node/usage/…` and `/node/deployments/{id}/usage/`, for the deployments that a key covers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query

from gateway.auth.access import Caller
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.storage.clock import UtcDatetime
from gateway.usage.schemas import DeploymentUsageOut, HeatmapOut, UsageOut
from gateway.usage.service import GroupBy, Step, UsageQuery, UsageService
from gateway.web.row_names import DeploymentFilterId, DeploymentId

From = Annotated[UtcDatetime | None, Query(alias="from")]
To = Annotated[UtcDatetime | None, Query(alias="to")]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


class UsageParams:
    """The query parameters, as a FastAPI dependency."""

    def __init__(  # noqa: PLR0917 - query parameters, which FastAPI passes by name
        self,
        deployment: DeploymentFilterId,
        since: From = None,
        until: To = None,
        by: GroupBy = GroupBy.DEPLOYMENT,
        step: Step = Step.NONE,
        version: Version = None,
        key: str | None = None,
    ) -> None:
        self.query = UsageQuery(
            since=since,
            until=until,
            by=by,
            step=step,
            deployment_id=deployment,
            version=version,
            key_id=key,
        )


class HeatmapParams:
    """Those of the heat map, likewise."""

    def __init__(  # noqa: PLR0917 - query parameters, which FastAPI passes by name
        self,
        deployment: DeploymentFilterId,
        since: From = None,
        until: To = None,
        step: Literal[Step.MINUTE, Step.HOUR, Step.DAY] = Step.HOUR,
        version: Version = None,
        key: str | None = None,
    ) -> None:
        self.query = UsageQuery(
            since=since,
            until=until,
            step=step,
            deployment_id=deployment,
            version=version,
            key_id=key,
        )


Service = Annotated[UsageService, from_app(UsageService)]
router = DocumentedRouter(prefix="/node", tags=["Usage"])


@router.get("/usage/")
async def usage(service: Service, actor: Caller, asked: UsageParams = Depends()) -> UsageOut:
    """Show calls, errors and percentiles between `from` and `to`, by default the last 24 hours.

    `from` is rounded down to a whole step, and `to` is exclusive. Items without a call or a run
    are left out. Minutes are kept for about two days; older items are whole days.
    """
    return UsageOut.of(await service.for_actor(actor, asked.query))


@router.get("/usage/heatmap/")
async def usage_heatmap(
    service: Service, actor: Caller, asked: HeatmapParams = Depends()
) -> HeatmapOut:
    """Count calls by time and duration, between `from` and `to`, by default the last 24 hours.

    `from` is rounded down to a whole step, and there are at most 500 steps. Days whose minutes
    are no longer kept are one column for any step.
    """
    found = await service.heatmap(actor.profile_id, asked.query, deployments=actor.deployments)
    return HeatmapOut.model_validate(found)


@router.get("/deployments/{deployment_id}/usage/")
async def deployment_usage(
    service: Service, actor: Caller, deployment_id: DeploymentId
) -> DeploymentUsageOut:
    """Show the last 24 hours of one deployment, in total and by hour."""
    return DeploymentUsageOut.of(await service.for_deployment(actor, deployment_id))
