"""Caches live deployments, so that a call needs one dictionary look-up."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.deployments.live_deployment import (
    LiveDeployment,
    LiveRollout,
    build_live_deployment,
)
from gateway.deployments.rollout_settings import Checks, RolloutState, Strategy
from gateway.deployments.settings import DeploymentStatus
from gateway.deployments.store import (
    deployment_gone,
    find_rollout,
    find_version,
    live_version,
)
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.cache import Cache
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.database import Database
from gateway.storage.named_rows import deployment_at
from gateway.storage.slugs import SLUG_PATTERN
from gateway.storage.tables import MAX_HANDLE_LENGTH, MAX_SLUG_LENGTH, Deployment
from protos.errors import ErrorCode
from telemetry.logs import logger

log = logger("gateway.deployments")

_MAX_VERSIONS = 1_000
"""Capacity for versions that are not live; that for live ones is ten times as large."""
_ADDRESS = re.compile(
    rf"(?=[^/]{{1,{MAX_HANDLE_LENGTH}}}/[^/]{{1,{MAX_SLUG_LENGTH}}}$){SLUG_PATTERN}/{SLUG_PATTERN}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InactiveDeployment:
    """A paused or deleted deployment. Its type keeps it off the fast path."""

    id: str
    profile_id: str
    name: str
    status: DeploymentStatus

    def refusal(self) -> GatewayError:
        """Return the error for its owner."""
        if self.status is DeploymentStatus.DELETED:
            return deployment_gone(self.id)
        message = f"deployment '{self.name}' is paused: resume it to accept calls again"
        return GatewayError(ErrorCode.DEPLOYMENT_PAUSED, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What an address has led to."""

    id: str
    profile_id: str
    is_deleted: bool
    """A tombstone: another deployment may take the address at any time."""


class DeploymentCache:
    """Deployments by id and by address, invalidated through the change feed.

    An address is the handle of the owner and the slug of the deployment, as `handle/slug`; where an
    argument is named `deployment`, it is an id or an address. What is invalid by id is so by
    address: a change of one drops the deployment and its address in the same step.
    """

    def __init__(self, db: Database, feed: ChangeFeed) -> None:
        self._db = db
        self.entries: Cache[str, LiveDeployment | _InactiveDeployment] = Cache(self._load)
        self._versions: Cache[tuple[str, int], LiveDeployment] = Cache(
            self._load_version, size=_MAX_VERSIONS
        )
        self._named: Cache[str, _Named] = Cache(self._load_named)
        feed.subscribe(ChangeKind.DEPLOYMENT, self._changed)
        feed.subscribe(ChangeKind.PROFILE, self._profile_changed)

    def get(self, deployment: str) -> LiveDeployment | None:
        """Return an active deployment of any profile if it is cached; otherwise call `find`."""
        deployment_id = self.id_of(deployment)
        entry = None if deployment_id is None else self.entries.get(deployment_id)
        return entry if type(entry) is LiveDeployment else None

    def id_of(self, deployment: str) -> str | None:
        """Return an id as it is, and the id at an address if it is cached."""
        if "/" not in deployment:
            return deployment
        named = self._named.get(deployment)
        return None if named is None else named.id

    async def find_id(self, deployment: str, profile_id: str) -> str:
        """Return the id of the profile's deployment, which may be paused or deleted.

        Raises:
            GatewayError: NOT_FOUND as `find`.
        """
        deployment_id = await self._resolve(deployment)
        if (await self.entries.find(deployment_id)).profile_id != profile_id:
            raise _not_found(deployment.lower())
        return deployment_id

    async def find(
        self, deployment: str, profile_id: str, version: int | None = None
    ) -> LiveDeployment:
        """Return the profile's deployment, from the cache or the database.

        With `version`, the graph is that version's; the settings are always the deployment's.

        Raises:
            GatewayError: NOT_FOUND for an unknown deployment, another profile's, or an unknown
                version; GONE for a deleted one; DEPLOYMENT_PAUSED; INVALID_FLOW if the mode is fast
                and `version` needs the engine.
        """
        entry = await self.entries.find(await self._resolve(deployment))
        if entry.profile_id != profile_id:
            raise _not_found(deployment.lower())
        if isinstance(entry, _InactiveDeployment):
            raise entry.refusal()
        if version is None:
            return entry
        if version == entry.version:
            return entry if entry.rollout is None else replace(entry, rollout=None)
        return await self._versions.find((entry.id, version))

    async def origins(self, deployment: str) -> frozenset[bytes] | None:
        """Return the CORS origins of a deployment of any profile; None: no CORS."""
        try:
            entry = await self.entries.find(await self._resolve(deployment))
        except GatewayError:
            return None
        return entry.cors_origins if isinstance(entry, LiveDeployment) else None

    async def _resolve(self, deployment: str) -> str:
        """Return the id; raise NOT_FOUND for what neither is one nor leads to one."""
        known = deployment.lower()
        if is_id(known):
            return known
        if _ADDRESS.fullmatch(known):
            return (await self._named.find(known)).id
        raise _not_found(deployment)

    async def _load_named(self, address: str) -> _Named:
        handle, _, slug = address.partition("/")
        async with self._db.read() as session:
            row = await deployment_at(session, handle, slug)
        if row is None:
            raise _not_found(address)
        is_deleted = row.status == DeploymentStatus.DELETED
        return _Named(id=row.id, profile_id=row.profile_id, is_deleted=is_deleted)

    async def _load(self, deployment_id: str) -> LiveDeployment | _InactiveDeployment:
        async with self._db.read() as session:
            deployment = await session.get(Deployment, deployment_id)
            if deployment is None:
                raise _not_found(deployment_id)
            if deployment.status != DeploymentStatus.ACTIVE:
                return _InactiveDeployment(
                    id=deployment.id,
                    profile_id=deployment.profile_id,
                    name=deployment.name,
                    status=DeploymentStatus(deployment.status),
                )
            live = build_live_deployment(deployment, await live_version(session, deployment))
            rollout = await find_rollout(session, deployment_id)
            if rollout is None or rollout.state != RolloutState.RUNNING:
                return live
            candidate = await find_version(session, deployment, rollout.candidate)
        try:
            running = LiveRollout(
                id=rollout.id,
                strategy=Strategy(rollout.strategy),
                weight=rollout.weight,
                tolerance=Checks.model_validate(rollout.checks).tolerance,
                candidate=build_live_deployment(deployment, candidate),
            )
        except (GatewayError, ValueError) as error:  # another release has written it
            log.warning("rollout_not_understood", deployment=deployment_id, reason=str(error))
            return live
        return replace(live, rollout=running)

    async def _load_version(self, key: tuple[str, int]) -> LiveDeployment:
        deployment_id, number = key
        async with self._db.read() as session:
            deployment = await session.get(Deployment, deployment_id)
            if deployment is None:
                raise _not_found(deployment_id)
            return build_live_deployment(
                deployment, await find_version(session, deployment, number)
            )

    def _changed(self, deployment_id: str | None) -> None:
        changed_id = deployment_id
        which = None if changed_id is None else lambda entry: entry.id == changed_id
        self.entries.invalidate(which)
        self._versions.invalidate(which)
        self._named.invalidate(
            None if changed_id is None else lambda named: named.is_deleted or named.id == changed_id
        )

    def _profile_changed(self, profile_id: str | None) -> None:
        """Drop what a user's handle leads to, and the deployments: calls may be routed by it."""
        which = None if profile_id is None else lambda each: each.profile_id == profile_id
        self.entries.invalidate(which)
        self._named.invalidate(which)


def _not_found(deployment_id: str) -> GatewayError:
    return GatewayError(ErrorCode.NOT_FOUND, f"unknown deployment '{deployment_id}'")
