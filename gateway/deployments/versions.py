"""Versions of deployments: redeploy, list, describe, promote, compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments import store
from gateway.deployments.audit_events import live as seen
from gateway.deployments.audit_events import record_deployment, record_version_note, version_note
from gateway.deployments.deployment_view import DeploymentView, load_deployment_view
from gateway.deployments.diff import Difference, Side, compare
from gateway.deployments.live_deployment import build_live_deployment
from gateway.deployments.rollouts.ended_servers import release_servers
from gateway.deployments.server_preparation import ServerPreparation
from gateway.deployments.snapshots import NO_NOTE, Snapshotter, VersionNote, models_of
from gateway.deployments.version_pruning import prune_versions
from gateway.errors import GatewayError
from gateway.fleet.deployed_servers import keep
from gateway.flows.store import find_flow
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import Deployment, DeploymentVersion
from protos.errors import ErrorCode

LIVE = "live"
DRAFT = "draft"


class NoteChange(TypedDict, total=False):
    """The members to change."""

    name: str | None
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """A version, and whether it is live."""

    row: DeploymentVersion
    live: bool


class VersionService:
    """The versions of a profile's deployments."""

    def __init__(
        self,
        db: Database,
        snapshots: Snapshotter,
        servers: ServerPreparation,
        *,
        kept_versions: int,
    ) -> None:
        """Keep so many of the newest versions of a deployment, whether anything runs them."""
        self._db = db
        self._kept_versions = kept_versions
        self._snapshots = snapshots
        self._servers = servers

    async def redeploy(
        self,
        profile_id: str,
        deployment_id: str,
        *,
        key_id: str | None = None,
        note: VersionNote = NO_NOTE,
    ) -> DeploymentView:
        """Deploy the flow's current draft as the new live version; URL, keys and settings stay.

        Its inference servers are started first, see `ServerPreparation`.

        Raises:
            GatewayError: NOT_FOUND, GONE, INVALID_FLOW; CONFLICT if a later redeploy or promotion
                is already live; errors of `ServerPreparation`. Nothing changes then.
        """
        before, live, sequence = await self._begin(profile_id, deployment_id)
        snapshot = await self._snapshots.take(profile_id, before.flow_id)
        candidate = snapshot.version(before.id, before.live_version + 1, key_id=key_id, note=note)
        build_live_deployment(before, candidate)
        await self._servers.prepare(before, live, candidate)
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            store.claim_promotion(row, sequence)
            was = await store.live_version(session, row)
            row.live_version = await store.newest_version(session, row) + 1
            version = snapshot.version(row.id, row.live_version, key_id=key_id, note=note)
            build_live_deployment(row, version)
            session.add(version)
            await keep(session, models_of(version))
            await _end_rollout(session, row)
            await prune_versions(
                session,
                row,
                newest=row.live_version,
                replaced=was.version,
                kept=self._kept_versions,
            )
            view = await load_deployment_view(session, row)
            old, new = seen(was), seen(version)
            await record_deployment(session, "redeploy", row, before=old, after=new)
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return view

    async def promote(self, profile_id: str, deployment_id: str, number: int) -> DeploymentView:
        """Make another version live, without creating a new one.

        Raises:
            GatewayError: NOT_FOUND; GONE, also for a version that was pruned; INVALID_FLOW if it
                can no longer run, for example because
                a model was removed, or the mode is now fast and it needs the engine; CONFLICT as
                for `redeploy`; errors of `ServerPreparation`.
        """
        before, live, sequence = await self._begin(profile_id, deployment_id)
        _, version = await self._find(profile_id, deployment_id, number)
        await self._snapshots.check(profile_id, version)
        build_live_deployment(before, version)
        await self._servers.prepare(before, live, version)
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            version = await store.find_version(session, row, number)
            build_live_deployment(row, version)
            store.claim_promotion(row, sequence)
            await keep(session, models_of(version))
            was = await store.live_version(session, row)
            changed, row.live_version = row.live_version != number, number
            if changed:
                await _end_rollout(session, row)
            view = await load_deployment_view(session, row)
            if changed:
                old, new = seen(was), seen(version)
                await record_deployment(session, "promote", row, before=old, after=new)
                record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return view

    async def page(
        self, profile_id: str, deployment_id: str, request: PageRequest
    ) -> Page[VersionView]:
        """Return a page of the versions, newest first, without their graphs."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            page = await store.version_page(session, row, request)
        items = [
            VersionView(row=item, live=item.version == row.live_version) for item in page.items
        ]
        return Page(items=items, next_cursor=page.next_cursor)

    async def get(self, profile_id: str, deployment_id: str, number: int) -> VersionView:
        """Return one version; raise NOT_FOUND or GONE."""
        deployment, version = await self._find(profile_id, deployment_id, number)
        return VersionView(row=version, live=number == deployment.live_version)

    async def describe(
        self, profile_id: str, deployment_id: str, number: int, **change: Unpack[NoteChange]
    ) -> VersionView:
        """Change the name or description of a version; everything else is immutable."""
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            version = await store.find_version(session, row, number)
            before = version_note(version)
            for name, value in change.items():
                setattr(version, name, value)
            await record_version_note(session, row, version, before=before)
        return VersionView(row=version, live=number == row.live_version)

    async def diff(
        self, profile_id: str, deployment_id: str, before: str = LIVE, after: str = DRAFT
    ) -> Difference:
        """Compare two versions, each a number, `live`, or `draft` (what a redeploy would deploy).

        Raises:
            GatewayError: NOT_FOUND, GONE; VALIDATION_FAILED for anything else.
        """
        row, _ = await self._find(profile_id, deployment_id)
        old = await self._side(row, "before", before)
        return compare(old, await self._side(row, "after", after))

    async def _side(self, deployment: Deployment, side: str, text: str) -> Side:
        if text == DRAFT:
            return await self._draft(deployment)
        number = deployment.live_version if text == LIVE else _number(side, text)
        async with self._db.read() as session:
            version = await store.find_version(session, deployment, number)
        return _side_of(str(number), version)

    async def _draft(self, deployment: Deployment) -> Side:
        """Return the draft as it would be deployed, or the problem that prevents it."""
        try:
            snapshot = await self._snapshots.take(deployment.profile_id, deployment.flow_id)
        except GatewayError as error:
            if error.code != ErrorCode.INVALID_FLOW:
                raise
            return await self._undeployable(deployment, error.message)
        version = snapshot.version(deployment.id, deployment.live_version + 1, key_id=None)
        try:
            build_live_deployment(deployment, version)
        except GatewayError as error:
            return _side_of(DRAFT, version, problem=error.message)
        return _side_of(DRAFT, version)

    async def _undeployable(self, deployment: Deployment, problem: str) -> Side:
        async with self._db.read() as session:
            flow = await find_flow(session, deployment.profile_id, deployment.flow_id)
        return Side(label=DRAFT, definition=flow.definition, models=None, problem=problem)

    async def _begin(
        self, profile_id: str, deployment_id: str
    ) -> tuple[Deployment, DeploymentVersion, int]:
        """Start a promotion: return the deployment, its live version and a sequence number.

        Of two concurrent ones, the later one wins, see `store.claim_promotion`.
        """
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            version = await store.live_version(session, row)
            return row, version, await store.begin_promotion(session, row.id)

    async def _find(
        self, profile_id: str, deployment_id: str, number: int | None = None
    ) -> tuple[Deployment, DeploymentVersion]:
        """Return the deployment with one of its versions, by default the live one."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            wanted = row.live_version if number is None else number
            return row, await store.find_version(session, row, wanted)


async def _end_rollout(session: AsyncSession, row: Deployment) -> None:
    """End a running rollout, as a version has just gone live."""
    rollout = await store.running_rollout(session, row)
    if rollout is not None:
        store.end_by_promotion(row, rollout)
        await release_servers(session, rollout)


def _side_of(label: str, version: DeploymentVersion, problem: str | None = None) -> Side:
    return Side(label=label, definition=version.definition, models=version.models, problem=problem)


def _number(side: str, text: str) -> int:
    if store.VERSION_NUMBER.fullmatch(text):
        return int(text)
    message = f"{side}: expected a version's number, '{LIVE}' or '{DRAFT}', got '{text[:40]}'"
    raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
