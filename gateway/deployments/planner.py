"""Says what would become of a deployment, and makes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.service import covering_keys
from gateway.deployments.deployment_warnings import DeploymentWarning, warnings_of
from gateway.deployments.new_deployment import check_webhook, new_row
from gateway.deployments.plan import (
    CheckCode,
    DeploymentCheck,
    DeploymentPlan,
    FastPossibility,
    Launch,
    failed,
    plan_deployment,
)
from gateway.deployments.readiness import (
    Servers,
    load_servers,
    load_unexplained,
    models_in,
    readiness_of,
)
from gateway.deployments.settings import DeploymentSettings, ExecutionMode
from gateway.deployments.slugs import check_free
from gateway.deployments.snapshots import Snapshotter
from gateway.errors import GatewayError
from gateway.flows.store import find_flow
from gateway.storage.database import Database
from gateway.storage.tables import Deployment
from gateway.webhooks.endpoints import EndpointLifecycle
from protos.errors import ErrorCode

_WEBHOOK_FAULTS = frozenset({ErrorCode.VALIDATION_FAILED, ErrorCode.BLOCKED_TARGET})


class DeploymentPlanner:
    """Dry runs of `DeploymentService.create`."""

    def __init__(
        self, db: Database, snapshots: Snapshotter, webhook_endpoints: EndpointLifecycle
    ) -> None:
        self._db = db
        self._snapshots = snapshots
        self._webhook_endpoints = webhook_endpoints

    async def plan(
        self, profile_id: str, flow_id: str, settings: DeploymentSettings, launch: Launch
    ) -> DeploymentPlan:
        """Return what `create` would make; its refusals are among the checks.

        Raises:
            GatewayError: NOT_FOUND for the flow.
        """
        try:
            snapshot = await self._snapshots.take(profile_id, flow_id)
        except GatewayError as error:
            if error.code is not ErrorCode.INVALID_FLOW:
                raise
            return await self._refused(profile_id, flow_id, settings, error.message)
        row = new_row(snapshot.flow, settings)
        version = snapshot.version(row.id, 1, key_id=None)
        webhook = await self._webhook(row)
        async with self._db.read() as session:
            servers = await load_servers(session, {model for model, _ in models_in(version.models)})
            unexplained = await load_unexplained(session, servers, profile_id)
            keys = await covering_keys(session, profile_id, row.id)
            slug = await _slug(session, row)
        return plan_deployment(
            row,
            version,
            launch,
            readiness=readiness_of(version.models, servers, unexplained),
            warnings=_remaining(warnings_of(version.models, servers), row, launch, servers),
            covering_keys=keys,
            faults=[check for check in (webhook, slug) if check is not None],
        )

    async def _webhook(self, row: Deployment) -> DeploymentCheck | None:
        try:
            check_webhook(row, row.callback_url)
            await self._webhook_endpoints.check_url(row.callback_url)
        except GatewayError as error:
            if error.code not in _WEBHOOK_FAULTS:
                raise
            return failed(CheckCode.WEBHOOK, error.message, field="callback_url")
        return None

    async def _refused(
        self, profile_id: str, flow_id: str, settings: DeploymentSettings, reason: str
    ) -> DeploymentPlan:
        async with self._db.read() as session:
            flow = await find_flow(session, profile_id, flow_id)
        return DeploymentPlan(
            name=new_row(flow, settings).name,
            mode=settings.execution_mode,
            fast=FastPossibility(possible=False, reason=reason),
            checks=[failed(CheckCode.FLOW, reason)],
        )


async def _slug(session: AsyncSession, row: Deployment) -> DeploymentCheck | None:
    try:
        if row.slug is not None:
            await check_free(session, row.profile_id, row.slug)
    except GatewayError as error:
        return failed(CheckCode.SLUG, error.message, field="slug")
    return None


def _remaining(
    warnings: Sequence[DeploymentWarning], row: Deployment, launch: Launch, servers: Servers
) -> Sequence[DeploymentWarning]:
    """Return the warnings that stay when the servers are started that are started with it."""
    if launch.start_server:
        return []
    if row.execution_mode != ExecutionMode.FAST:
        return warnings
    return [each for each in warnings if (each.model, each.version) in servers]
