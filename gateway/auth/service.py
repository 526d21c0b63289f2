"""API keys: made, listed, deactivated, activated, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth import keys, store
from gateway.auth.identity import Scope
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.changes import Kind, record_change
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key just made: the only moment at which it can be read."""

    row: ApiKey
    plain: str


class ApiKeyService:
    """The keys of a profile. Every change reaches every gateway process through the feed."""

    def __init__(self, db: Database, hasher: keys.KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def create(
        self,
        profile_id: str,
        *,
        name: str,
        scope: Scope = Scope.TRIGGER,
        deployments: Sequence[str] | None = None,
        limits: dict[str, int] | None = None,
    ) -> IssuedKey:
        """Make a key; `deployments` None means all of the profile's, now and later.

        Raises:
            GatewayError: VALIDATION_FAILED where a deployment is unknown, or the key is a
                `manage` key and yet limited to deployments.
        """
        async with self._db.write() as session:
            if deployments is not None:
                await _check_deployments(session, profile_id, scope, deployments)
            return await self.issue(
                session,
                profile_id,
                name=name,
                scope=scope,
                deployments=deployments,
                limits=limits,
            )

    async def issue(
        self,
        session: AsyncSession,
        profile_id: str,
        *,
        name: str,
        scope: Scope = Scope.TRIGGER,
        deployments: Sequence[str] | None = None,
        limits: dict[str, int] | None = None,
    ) -> IssuedKey:
        """Make a key in the caller's transaction; the deployments have been checked."""
        plain = keys.mint()
        row = ApiKey(
            id=new_id(),
            profile_id=profile_id,
            name=name,
            scope=scope,
            deployments=None if deployments is None else sorted(set(deployments)),
            hash=self._hasher.digest(plain).hex(),
            display_prefix=plain[: keys.PREFIX],
            display_suffix=plain[-keys.SUFFIX :],
            limits=limits,
        )
        session.add(row)
        await record_change(session, Kind.API_KEY, row.id)
        return IssuedKey(row=row, plain=plain)

    async def page(self, profile_id: str, request: PageRequest) -> Page[ApiKey]:
        """Return a page of the profile's keys, newest first."""
        async with self._db.read() as session:
            return await store.key_page(session, profile_id, request)

    async def get(self, profile_id: str, key_id: str) -> ApiKey:
        """Return one key, or raise NOT_FOUND."""
        async with self._db.read() as session:
            return await store.find_key(session, profile_id, key_id)

    async def deactivate(self, profile_id: str, key_id: str) -> ApiKey:
        """Make the key answer 401 until it is activated again; a second time changes nothing."""
        return await self._set_state(profile_id, key_id, "deactivated")

    async def activate(self, profile_id: str, key_id: str) -> ApiKey:
        """Undo `deactivate`."""
        return await self._set_state(profile_id, key_id, "active")

    async def delete(self, profile_id: str, key_id: str) -> None:
        """Remove the key for good."""
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            await session.delete(key)
            await record_change(session, Kind.API_KEY, key.id)

    async def _set_state(self, profile_id: str, key_id: str, state: str) -> ApiKey:
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            if key.state != state:
                key.state = state
                await record_change(session, Kind.API_KEY, key.id)
        return key


async def covered(session: AsyncSession, profile_id: str, deployment_id: str) -> bool:
    """Whether an active key made for callers covers the deployment; `manage` keys do not count."""
    active = await store.trigger_keys(session, profile_id)
    return any(key.deployments is None or deployment_id in key.deployments for key in active)


async def retire_keys_of(session: AsyncSession, profile_id: str, deployment_id: str) -> None:
    """Deactivate, in the caller's transaction, the keys that only this deployment used."""
    for key in await store.trigger_keys(session, profile_id):
        if key.deployments == [deployment_id]:
            key.state = "deactivated"
            await record_change(session, Kind.API_KEY, key.id)


async def _check_deployments(
    session: AsyncSession, profile_id: str, scope: Scope, deployments: Sequence[str]
) -> None:
    if scope is Scope.MANAGE:
        message = "deployments: a manage key covers everything: leave the list out"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    missing = await store.missing_deployments(session, profile_id, deployments)
    if missing:
        message = f"deployments: there is no deployment '{min(missing)}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
