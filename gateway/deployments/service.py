"""Deployments: made from a flow, changed, redeployed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Unpack

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.service import ApiKeyService, IssuedKey, covered, retire_keys_of
from gateway.deployments import store
from gateway.deployments.live import go_live
from gateway.deployments.modes import (
    DeploymentSettings,
    NotificationMethod,
    SettingsChange,
    Status,
)
from gateway.errors import GatewayError
from gateway.flows.spec import FlowSpec, parse_flow
from gateway.flows.store import find_flow
from gateway.ids import new_id
from gateway.models.service import ModelService
from gateway.storage.changes import Kind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import Deployment, DeploymentVersion, Flow
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployment with the models that it runs."""

    row: Deployment
    models: Mapping[str, Any]
    """Node id → pinned model version, as `DeploymentVersion.models`."""
    key: IssuedKey | None = None
    """The key that was made with it, where the profile had none that covers it."""


class DeploymentService:
    """The deployments of a profile. Every change reaches every gateway process by the feed."""

    def __init__(self, db: Database, keys: ApiKeyService, models: ModelService) -> None:
        self._db = db
        self._keys = keys
        self._models = models

    async def create(
        self, profile_id: str, flow_id: str, settings: DeploymentSettings | None = None
    ) -> Deployed:
        """Deploy a flow, and make a key where no active one covers the deployment.

        Raises:
            GatewayError: NOT_FOUND for the flow; INVALID_FLOW where a model is not in the store,
                or where the mode is fast and the flow needs the engine.
        """
        flow, pins = await self._snapshot(profile_id, flow_id)
        row = _row(flow, settings or DeploymentSettings())
        version = DeploymentVersion(
            deployment_id=row.id, version=1, definition=flow.definition, models=pins
        )
        _check(row, version)
        async with self._db.write() as session:
            # Locked, so that the flow is not deleted in between.
            await find_flow(session, profile_id, flow.id, lock=True)
            session.add(row)
            await session.flush()
            session.add(version)
            key = await self._first_key(session, row)
            await record_change(session, Kind.DEPLOYMENT, row.id)
        return Deployed(row=row, models=version.models, key=key)

    async def page(
        self, profile_id: str, request: PageRequest, *, flow_id: str | None = None
    ) -> Page[Deployed]:
        """Return a page of the profile's deployments, newest first; of one flow, or of all."""
        async with self._db.read() as session:
            page = await store.deployment_page(session, profile_id, request, flow_id)
            models = await store.live_models(session, page.items)
        items = [Deployed(row=row, models=models[row.id]) for row in page.items]
        return Page(items=items, next_cursor=page.next_cursor)

    async def get(self, profile_id: str, deployment_id: str) -> Deployed:
        """Return one deployment; raise NOT_FOUND, or GONE for a deleted one."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            version = await store.live_version(session, row)
        return Deployed(row=row, models=version.models)

    async def change(
        self, profile_id: str, deployment_id: str, **change: Unpack[SettingsChange]
    ) -> Deployed:
        """Change settings at once, without a new version.

        Raises:
            GatewayError: NOT_FOUND, GONE, VALIDATION_FAILED; INVALID_FLOW where the mode becomes
                fast and the live version needs the engine.
        """
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            version = await store.live_version(session, row)
            for name, value in change.items():
                setattr(row, name, value)
            _check(row, version)
            await record_change(session, Kind.DEPLOYMENT, row.id)
        return Deployed(row=row, models=version.models)

    async def redeploy(self, profile_id: str, deployment_id: str) -> Deployed:
        """Make the flow's present draft the live version; URL, keys and settings stay.

        Raises:
            GatewayError: NOT_FOUND, GONE, or INVALID_FLOW and nothing changes.
        """
        before = await self.get(profile_id, deployment_id)
        flow, pins = await self._snapshot(profile_id, before.row.flow_id)
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            row.live_version += 1
            version = DeploymentVersion(
                deployment_id=row.id,
                version=row.live_version,
                definition=flow.definition,
                models=pins,
            )
            _check(row, version)
            session.add(version)
            await record_change(session, Kind.DEPLOYMENT, row.id)
        return Deployed(row=row, models=version.models)

    async def delete(self, profile_id: str, deployment_id: str) -> None:
        """Leave a tombstone, and deactivate the keys that were for this deployment only."""
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            row.status = Status.DELETED
            await retire_keys_of(session, profile_id, row.id)
            await record_change(session, Kind.DEPLOYMENT, row.id)

    async def _snapshot(
        self, profile_id: str, flow_id: str
    ) -> tuple[Flow, dict[str, dict[str, Any]]]:
        async with self._db.read() as session:
            flow = await find_flow(session, profile_id, flow_id)
        spec = parse_flow(flow.definition)
        return flow, await self._pins(spec)

    async def _pins(self, spec: FlowSpec) -> dict[str, dict[str, Any]]:
        """Return, by node id, the versions that the flow's models mean at this moment."""
        pins: dict[str, dict[str, Any]] = {}
        for node_id, inference in spec.inferences().items():
            try:
                pin = await self._models.pin(inference.model, inference.version)
            except GatewayError as error:
                message = f"node '{node_id}': {error.message}"
                raise GatewayError(ErrorCode.INVALID_FLOW, message) from error
            pins[node_id] = pin.to_json()
        return pins

    async def _first_key(self, session: AsyncSession, row: Deployment) -> IssuedKey | None:
        if await covered(session, row.profile_id, row.id):
            return None
        return await self._keys.issue(session, row.profile_id, name=f"Key for {row.name}"[:200])


def _row(flow: Flow, settings: DeploymentSettings) -> Deployment:
    values: Mapping[str, Any] = asdict(settings) | {
        "name": settings.name or f"{flow.name} Deployment"[:200],
        "webhook_events": list(settings.webhook_events),
    }
    return Deployment(
        id=new_id(),
        profile_id=flow.profile_id,
        flow_id=flow.id,
        live_version=1,
        status=Status.ACTIVE,
        **values,
    )


def _check(row: Deployment, version: DeploymentVersion) -> None:
    """Refuse what could not be called."""
    if row.notification_method == NotificationMethod.WEBHOOK and not row.callback_url:
        message = "callback_url: expected the URL to notify, as notification_method is webhook"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    go_live(row, version)
