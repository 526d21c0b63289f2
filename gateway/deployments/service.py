"""Creates, changes, pauses and deletes deployments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, Unpack

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.key_view import IssuedKey
from gateway.auth.service import ApiKeyService, covering_keys, deactivate_keys_of
from gateway.deployments import store
from gateway.deployments.audit_events import record_deployment
from gateway.deployments.deployment_view import (
    DeploymentView,
    load_deployment_view,
    load_deployment_views,
)
from gateway.deployments.live_deployment import build_live_deployment
from gateway.deployments.new_deployment import check_webhook, new_row
from gateway.deployments.plan import KeyChoice, Launch, creates_key, plan_deployment
from gateway.deployments.settings import (
    DeploymentSettings,
    DeploymentStatus,
    ExecutionMode,
    RunsOnDelete,
    SettingsChange,
)
from gateway.deployments.slugs import assign_slug, check_free, lock_slugs
from gateway.deployments.snapshots import Snapshotter, models_of
from gateway.errors import GatewayError
from gateway.fleet.store import start_missing
from gateway.flows.store import find_flow
from gateway.limits.call_limits import apply_limits_patch
from gateway.storage.audit_events import row_snapshot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.etags import check_if_match
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import ApiKey, Deployment, DeploymentVersion
from gateway.webhooks.endpoints import EndpointLifecycle
from protos.errors import ErrorCode


class RunCanceller(Protocol):
    """Cancels the runs of a deleted deployment. `gateway.runs` does so, above this package."""

    async def cancel_runs(self, deployment_id: str, then: RunsOnDelete) -> None:
        """Cancel the queued runs of a deployment, and with CANCEL also the running ones."""


class DeploymentService:
    """The deployments of a profile. Changes reach all gateway processes through the change feed.

    For their versions see `VersionService`.
    """

    def __init__(
        self,
        db: Database,
        keys: ApiKeyService,
        snapshots: Snapshotter,
        webhook_endpoints: EndpointLifecycle,
    ) -> None:
        self._db = db
        self._webhook_endpoints = webhook_endpoints
        self._keys = keys
        self._snapshots = snapshots

    async def create(
        self,
        profile_id: str,
        flow_id: str,
        settings: DeploymentSettings | None = None,
        *,
        key_id: str | None = None,
        launch: Launch | None = None,
    ) -> DeploymentView:
        """Deploy a flow, with the key and the servers that `launch` says.

        In mode fast, a server is started for a model version that has none.

        `key_id` is the key of the request, if any.

        Raises:
            GatewayError: NOT_FOUND for the flow; INVALID_FLOW if a model does not exist, or the
                mode is fast and the flow needs the engine; BLOCKED_TARGET for the callback URL;
                CONFLICT for the slug of another deployment.
        """
        launch = launch or Launch()
        snapshot = await self._snapshots.take(profile_id, flow_id)
        row = new_row(snapshot.flow, settings or DeploymentSettings())
        version = snapshot.version(row.id, 1, key_id=key_id)
        check_webhook(row, row.callback_url)
        build_live_deployment(row, version)
        await self._webhook_endpoints.check_url(row.callback_url)
        async with self._db.write() as session:
            await lock_slugs(session, profile_id)
            # Locks the flow against a concurrent deletion.
            await find_flow(session, profile_id, row.flow_id, lock=True)
            await assign_slug(session, row)
            session.add(row)
            await session.flush()
            session.add(version)
            await session.flush()
            await record_deployment(session, "create", row, after=row_snapshot(row))
            covering = await covering_keys(session, row.profile_id, row.id)
            key = await self._first_key(session, row, launch, covering)
            secret = await self._webhook_endpoints.sync(session, row)
            await _start_servers(session, row, version, launch)
            view = await load_deployment_view(session, row)
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        plan = plan_deployment(
            row,
            version,
            launch,
            readiness=view.readiness,
            warnings=view.warnings,
            covering_keys=covering,
        )
        return replace(view, key=key, webhook_secret=secret, plan=plan)

    async def page(
        self, profile_id: str, request: PageRequest, wanted: store.DeploymentFilter = store.ALL
    ) -> Page[DeploymentView]:
        """Return a page of the profile's deployments that match, newest first."""
        async with self._db.read() as session:
            page = await store.deployment_page(session, profile_id, request, wanted)
            items = await load_deployment_views(session, page.items)
        return Page(items=items, next_cursor=page.next_cursor)

    async def get(self, profile_id: str, deployment_id: str) -> DeploymentView:
        """Return one deployment; raise NOT_FOUND, or GONE for a deleted one."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            return await load_deployment_view(session, row)

    async def models_of(self, profile_id: str, deployment_id: str) -> set[tuple[str, int]]:
        """Return the model versions that the live version calls; raise NOT_FOUND or GONE."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            return models_of(await store.live_version(session, row))

    async def change(
        self,
        profile_id: str,
        deployment_id: str,
        *,
        if_match: Sequence[str] = (),
        **change: Unpack[SettingsChange],
    ) -> DeploymentView:
        """Change settings at once, without a new version.

        A change to mode fast starts a server for a model version that has none.

        Raises:
            GatewayError: NOT_FOUND, GONE, VALIDATION_FAILED; PRECONDITION_FAILED as
                `check_if_match`; CONFLICT for the mode during a rollout, and for the slug of
                another deployment; INVALID_FLOW if the mode becomes fast and the live version needs
                the engine; BLOCKED_TARGET for the callback URL.
        """
        callback_url = change.get("callback_url")
        await self._webhook_endpoints.check_url(callback_url)
        slug = change.get("slug")
        async with self._db.write() as session:
            if slug is not None:
                await lock_slugs(session, profile_id)
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            check_if_match(row, if_match)
            if slug not in (None, row.slug):
                await check_free(session, profile_id, slug)
            version = await store.live_version(session, row)
            await _refuse_during_rollout(session, row, change)
            before = row_snapshot(row)
            if "limits" in change:
                row.limits = apply_limits_patch(row.limits, change.pop("limits"))
            for name, value in change.items():
                setattr(row, name, value)
            check_webhook(row, callback_url)
            build_live_deployment(row, version)
            secret = await self._webhook_endpoints.sync(session, row)
            await record_deployment(session, "update", row, before=before, after=row_snapshot(row))
            if before["execution_mode"] != row.execution_mode:
                await _start_servers(session, row, version, Launch())
            view = await load_deployment_view(session, row)
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return replace(view, webhook_secret=secret)

    async def pause(self, profile_id: str, deployment_id: str) -> DeploymentView:
        """Refuse calls until `resume`; accepted runs continue, URL and keys stay."""
        return await self._set_status(profile_id, deployment_id, DeploymentStatus.PAUSED)

    async def resume(self, profile_id: str, deployment_id: str) -> DeploymentView:
        """Undo `pause`."""
        return await self._set_status(profile_id, deployment_id, DeploymentStatus.ACTIVE)

    async def delete(
        self,
        profile_id: str,
        deployment_id: str,
        canceller: RunCanceller,
        *,
        then: RunsOnDelete = RunsOnDelete.FINISH,
        if_match: Sequence[str] = (),
    ) -> None:
        """Replace the deployment by a tombstone, and deactivate the keys for this deployment only.

        Its webhook is deleted with all pending deliveries. Queued runs are cancelled; `then` says
        what happens to running ones. Versions are kept while a run needs them, see
        `runs/cleanup.py`.

        Raises:
            GatewayError: NOT_FOUND, GONE; PRECONDITION_FAILED as `check_if_match`.
        """
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            check_if_match(row, if_match)
            before = row_snapshot(row)
            row.status = DeploymentStatus.DELETED
            await record_deployment(session, "delete", row, before=before)
            await deactivate_keys_of(session, profile_id, row.id)
            await store.delete_rollout(session, row.id)
            await self._webhook_endpoints.delete(session, row.id)
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        await canceller.cancel_runs(row.id, then)

    async def generate_key(
        self,
        profile_id: str,
        deployment_id: str,
        *,
        name: str | None = None,
        environment: str | None = None,
        expires_at: datetime | None = None,
        all_runs: bool = False,
    ) -> IssuedKey:
        """Create a key for this deployment only, by default named after it.

        Raises:
            GatewayError: NOT_FOUND, GONE; VALIDATION_FAILED as `ApiKeyService.issue`.
        """
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            return await self._keys.issue(
                session,
                profile_id,
                name=name or _key_name(row),
                deployments=[row.id],
                environment=environment,
                expires_at=expires_at,
                all_runs=all_runs,
            )

    async def _set_status(
        self, profile_id: str, deployment_id: str, status: DeploymentStatus
    ) -> DeploymentView:
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            before = row_snapshot(row)
            changed, row.status = row.status != status, status
            view = await load_deployment_view(session, row)
            if changed:
                verb = "pause" if status is DeploymentStatus.PAUSED else "resume"
                await record_deployment(session, verb, row, before=before, after=row_snapshot(row))
                record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return view

    async def _first_key(
        self, session: AsyncSession, row: Deployment, launch: Launch, covering: Sequence[ApiKey]
    ) -> IssuedKey | None:
        if not creates_key(launch, covering):
            return None
        deployments = [row.id] if launch.api_key is KeyChoice.NEW else None
        return await self._keys.issue(
            session, row.profile_id, name=_key_name(row), deployments=deployments
        )


async def _refuse_during_rollout(
    session: AsyncSession, row: Deployment, change: SettingsChange
) -> None:
    """Raise CONFLICT for another mode: a candidate was checked for the one that it is tried in."""
    mode = change.get("execution_mode", row.execution_mode)
    if mode != row.execution_mode and await store.running_rollout(session, row) is not None:
        message = f"deployment '{row.name}': the mode cannot change while a rollout is running"
        raise GatewayError(ErrorCode.CONFLICT, f"{message}: promote or roll back its version first")


async def _start_servers(
    session: AsyncSession, row: Deployment, version: DeploymentVersion, launch: Launch
) -> None:
    """Start the inference servers that a version lacks: in mode fast, or where `launch` says so."""
    if launch.start_server or row.execution_mode == ExecutionMode.FAST:
        await start_missing(
            session,
            models_of(version),
            flow_id=row.flow_id,
            also_stopped=launch.start_server,
        )


def _key_name(row: Deployment) -> str:
    return f"Key for {row.name}"[:200]
