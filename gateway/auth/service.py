"""Management of API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth import keys, rotation, store
from gateway.auth.audit_events import record_key
from gateway.auth.identity import Scope
from gateway.auth.key_addresses import addresses_of
from gateway.auth.key_view import IssuedKey, KeyView, load_views
from gateway.auth.lifetime import KeyState, check_expiry, state_at
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.limits.call_limits import apply_limits_patch
from gateway.storage.audit_events import AuditFields, row_snapshot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.etags import check_if_match
from gateway.storage.key_tables import KeyAddress
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode

_VERBS = {KeyState.ACTIVE: "activate", KeyState.DEACTIVATED: "deactivate"}


class KeyChange(TypedDict, total=False):
    """Changes to a key; omitted members stay as they are."""

    name: str
    environment: str | None
    expires_at: datetime | None
    scope: Scope
    deployments: list[str] | None
    all_runs: bool
    limits: dict[str, int | None] | None
    """Omitted members stay; None removes a limit, and in place of the object, all of them."""


class ApiKeyService:
    """The keys of a profile. The change feed announces every change to all gateway processes."""

    def __init__(self, db: Database, hasher: keys.KeyHasher, *, old_after_days: int = 90) -> None:
        """Keys older than `old_after_days` get a warning."""
        self._db = db
        self._hasher = hasher
        self._old_after = timedelta(days=old_after_days)

    async def create(
        self,
        profile_id: str,
        *,
        name: str,
        scope: Scope = Scope.TRIGGER,
        deployments: Sequence[str] | None = None,
        environment: str | None = None,
        expires_at: datetime | None = None,
        limits: dict[str, int] | None = None,
        all_runs: bool = False,
    ) -> IssuedKey:
        """Create a key; `deployments` None means all of the profile's, including later ones.

        With `all_runs`, a trigger key sees all runs of its deployments, not only those it starts.

        Raises:
            GatewayError: VALIDATION_FAILED for an unknown deployment, a list of deployments with
                another scope than `trigger`, or an expiry out of range.
        """
        async with self._db.write() as session:
            await _check_deployments(session, profile_id, scope, deployments)
            return await self.issue(
                session,
                profile_id,
                name=name,
                scope=scope,
                deployments=deployments,
                environment=environment,
                expires_at=expires_at,
                limits=limits,
                all_runs=all_runs,
            )

    async def issue(
        self,
        session: AsyncSession,
        profile_id: str,
        *,
        name: str,
        scope: Scope = Scope.TRIGGER,
        deployments: Sequence[str] | None = None,
        environment: str | None = None,
        expires_at: datetime | None = None,
        limits: dict[str, int] | None = None,
        all_runs: bool = False,
    ) -> IssuedKey:
        """Create a key in the caller's transaction, for deployments that are known to exist.

        Raises:
            GatewayError: VALIDATION_FAILED for an expiry out of range.
        """
        check_expiry(expires_at, now())
        return await self._mint(
            session,
            profile_id=profile_id,
            name=name,
            scope=scope,
            deployments=None if deployments is None else sorted(set(deployments)),
            environment=environment,
            expires_at=expires_at,
            limits=limits,
            all_runs=all_runs,
        )

    async def page(self, profile_id: str, request: PageRequest) -> Page[KeyView]:
        """Return a page of the profile's keys, newest first."""
        async with self._db.read() as session:
            page = await store.key_page(session, profile_id, request)
            items = await self._look_at(session, profile_id, page.items)
        return Page(items=items, next_cursor=page.next_cursor)

    async def get(self, profile_id: str, key_id: str) -> KeyView:
        """Return one key, or raise NOT_FOUND."""
        async with self._db.read() as session:
            key = await store.find_key(session, profile_id, key_id)
            return await self._known(session, key)

    async def addresses(self, profile_id: str, key_id: str) -> Sequence[KeyAddress]:
        """Return the addresses that a key was used from, the last one first; raise NOT_FOUND."""
        async with self._db.read() as session:
            key = await store.find_key(session, profile_id, key_id)
            return await addresses_of(session, key)

    async def change(
        self,
        profile_id: str,
        key_id: str,
        *,
        if_match: Sequence[str] = (),
        **change: Unpack[KeyChange],
    ) -> KeyView:
        """Change a key.

        Raises:
            GatewayError: NOT_FOUND; PRECONDITION_FAILED as `check_if_match`; VALIDATION_FAILED as
                `create`.
        """
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            check_if_match(key, if_match)
            before = row_snapshot(key)
            if "expires_at" in change:
                check_expiry(change["expires_at"], now())
            if "scope" in change or "deployments" in change:
                scope = change.get("scope", Scope(key.scope))
                deployments = change.get("deployments", key.deployments)
                await _check_deployments(session, profile_id, scope, deployments)
                change["deployments"] = deployments and sorted(set(deployments))
            if "limits" in change:
                key.limits = apply_limits_patch(key.limits, change.pop("limits"))
            for name, value in change.items():
                setattr(key, name, value)
            return await self._changed(session, "update", key, before)

    async def rotate(
        self,
        profile_id: str,
        key_id: str,
        *,
        grace_seconds: int = rotation.DEFAULT_GRACE_SECONDS,
        force: bool = False,
    ) -> IssuedKey:
        """Replace a key by one with the same attributes; it stays valid for `grace_seconds`.

        If the old key expires, the new one gets the same lifetime. With `force`, a key can be
        rotated before its last rotation has ended; its replacement is then replaced as well.

        Raises:
            GatewayError: NOT_FOUND; CONFLICT while the last rotation has not ended.
        """
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            moment = now()
            chain = await rotation.rotation_chain(session, key, moment, force=force)
            before = [row_snapshot(old) for old in chain]
            issued = await self._mint(session, **rotation.inherited_columns(key, moment))
            rotation.replace_keys(chain, issued.row, moment, timedelta(seconds=grace_seconds))
            for old, fields in zip(chain, before, strict=True):
                await self._changed(session, "rotate", old, fields)
        return issued

    async def end_grace(self, profile_id: str, key_id: str) -> KeyView:
        """End a rotated key's grace period. Idempotent.

        Raises:
            GatewayError: NOT_FOUND; CONFLICT for a key that was not rotated.
        """
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            before = row_snapshot(key)
            if rotation.end_grace(key, now()):
                return await self._changed(session, "end_grace", key, before)
            return await self._known(session, key)

    async def deactivate(self, profile_id: str, key_id: str) -> KeyView:
        """Make the key answer 401 until it is activated. Idempotent."""
        return await self._set_state(profile_id, key_id, KeyState.DEACTIVATED)

    async def activate(self, profile_id: str, key_id: str) -> KeyView:
        """Activate a deactivated key. Idempotent."""
        return await self._set_state(profile_id, key_id, KeyState.ACTIVE)

    async def delete(self, profile_id: str, key_id: str, *, if_match: Sequence[str] = ()) -> None:
        """Delete the key permanently.

        Raises:
            GatewayError: NOT_FOUND; PRECONDITION_FAILED as `check_if_match`.
        """
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            check_if_match(key, if_match)
            await session.delete(key)
            await record_key(session, "delete", key, before=row_snapshot(key))
            record_change(session, ChangeKind.API_KEY, key.id, owner_id=profile_id)

    async def _set_state(self, profile_id: str, key_id: str, state: KeyState) -> KeyView:
        async with self._db.write() as session:
            key = await store.find_key(session, profile_id, key_id, lock=True)
            if key.state == state:
                return await self._known(session, key)
            before = row_snapshot(key)
            key.state = state
            return await self._changed(session, _VERBS[state], key, before)

    # Any: the columns have several types
    async def _mint(self, session: AsyncSession, **columns: Any) -> IssuedKey:
        plain = keys.generate_key()
        row = ApiKey(
            id=new_id(),
            hash=self._hasher.digest(plain).hex(),
            display_prefix=plain[: keys.PREFIX_LENGTH],
            display_suffix=plain[-keys.SUFFIX_LENGTH :],
            **columns,
        )
        session.add(row)
        known = await self._changed(session, "create", row, None)
        return IssuedKey(row=row, state=known.state, warnings=known.warnings, plain=plain)

    async def _changed(
        self, session: AsyncSession, verb: str, key: ApiKey, before: AuditFields | None
    ) -> KeyView:
        await session.flush()
        known = await self._known(session, key)
        await record_key(session, verb, key, before=before, after=row_snapshot(key))
        record_change(session, ChangeKind.API_KEY, key.id)
        return known

    async def _known(self, session: AsyncSession, key: ApiKey) -> KeyView:
        (known,) = await self._look_at(session, key.profile_id, [key])
        return known

    async def _look_at(
        self, session: AsyncSession, profile_id: str, rows: Sequence[ApiKey]
    ) -> list[KeyView]:
        return await load_views(session, profile_id, rows, old_after=self._old_after)


async def covering_keys(session: AsyncSession, profile_id: str, deployment_id: str) -> list[ApiKey]:
    """Return the active keys of scope `trigger` that cover the deployment.

    Deactivated, expired and rotated keys do not count.
    """
    moment = now()
    return [
        key
        for key in await store.trigger_keys(session, profile_id)
        if state_at(key, moment) is KeyState.ACTIVE
        and (key.deployments is None or deployment_id in key.deployments)
    ]


async def deactivate_keys_of(session: AsyncSession, profile_id: str, deployment_id: str) -> None:
    """Deactivate, in the caller's transaction, the keys that cover only this deployment."""
    for key in await store.trigger_keys(session, profile_id):
        if key.deployments == [deployment_id]:
            before = row_snapshot(key)
            key.state = KeyState.DEACTIVATED
            await record_key(session, "deactivate", key, before=before, after=row_snapshot(key))
            record_change(session, ChangeKind.API_KEY, key.id)


async def _check_deployments(
    session: AsyncSession, profile_id: str, scope: Scope, deployments: Sequence[str] | None
) -> None:
    if deployments is None:
        return
    if scope is not Scope.TRIGGER:
        covered = "all" if scope is Scope.MANAGE else "none"
        message = f"deployments: expected no list for a {scope} key, which covers {covered}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    missing = await store.missing_deployments(session, profile_id, deployments)
    if missing:
        message = f"deployments: unknown deployment '{min(missing)}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
