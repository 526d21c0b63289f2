"""Whether what a user changes may be stored: flows, versions, deployments, keys and audit events.

Triggers count what a transaction writes, so it is checked after it has been written: a refusal
rolls it back. The sums need no table scan, and processes that write at once are told apart by a
lock where little is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from sqlalchemy import BigInteger, cast, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.storage.disk_space import room_beside_runs
from gateway.storage.quota_tables import ROW_BYTES, UserStorage
from gateway.storage.sql import advisory_lock
from protos.errors import ErrorCode

USER_QUOTA = "user_quota"
"""Under which a session has its UserQuota; sessions of the command line have none."""
_NEAR = 4
"""Where less than a quarter of a limit is left, changes of the same user wait for each other."""
_NEAR_NUMBER, _NEAR_BYTES = 100, 1 << 28
"""The same where less than this is left: more than what changes at the same time add."""
_MANY_ROWS = 100
"""Of a user, which are replaced by their sums."""
_ADDED_UP_AT_ONCE = 10_000
_EVENT_BYTES = 2 * ROW_BYTES
"""Of a usual audit event, at most."""


class StorageKind(StrEnum):
    """What is counted of a user."""

    FLOWS = "flows"
    """With their revisions."""
    VERSIONS = "versions"
    """Of deployments."""
    DEPLOYMENTS = "deployments"
    API_KEYS = "api_keys"
    AUDIT_EVENTS = "audit_events"
    """Of what the user has done."""


class Stored(NamedTuple):
    """How many of a kind are stored, and what they take."""

    number: int
    bytes: int


StoredOfUser = Mapping[StorageKind, Stored]
"""By kind; all kinds."""
_NOTHING = Stored(0, 0)
_FREE_PAGES_BYTES = text(
    "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
)
_DEFINITIONS = frozenset({StorageKind.FLOWS, StorageKind.VERSIONS})
_AUDIT = frozenset({StorageKind.AUDIT_EVENTS})

_GROWS: Mapping[str, frozenset[StorageKind]] = {
    "flow.create": _DEFINITIONS,
    "flow.update": _DEFINITIONS,
    "flow.name_revision": _DEFINITIONS,
    "deployment.create": _DEFINITIONS | {StorageKind.DEPLOYMENTS},
    "deployment.redeploy": _DEFINITIONS,
    "deployment.start_rollout": _DEFINITIONS,
    "deployment_version.describe": _DEFINITIONS,
    "api_key.create": frozenset({StorageKind.API_KEYS}),
}
"""What audited actions add for the owner of their target, beside the audit event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimits:
    """What one user may store."""

    definition_bytes: int
    """Of flows with their revisions, and of versions of deployments."""
    deployments: int
    api_keys: int
    audit_bytes: int

    @property
    def numbers(self) -> Mapping[StorageKind, int]:
        """The limits of what is counted by number."""
        return {
            StorageKind.DEPLOYMENTS: self.deployments,
            StorageKind.API_KEYS: self.api_keys,
        }

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings define."""
        return cls(
            definition_bytes=settings.user_definition_bytes,
            deployments=settings.user_deployments,
            api_keys=settings.user_api_keys,
            audit_bytes=settings.user_audit_bytes,
        )


async def read_stored(session: AsyncSession, profile_id: str) -> StoredOfUser:
    """Return what is stored of a user, as the session's transaction sees it."""
    return (await _read(session, profile_id))[0]


async def forget_stored(session: AsyncSession, profile_id: str) -> None:
    """Delete the counts of a user who was just deleted, with all that they count."""
    await session.execute(delete(UserStorage).where(UserStorage.profile_id == profile_id))


async def check_change(
    session: AsyncSession, action: str, *, actor_id: str, owner_id: str | None
) -> None:
    """Check what the session's transaction has written, and flushed, for an audited action.

    Raises:
        GatewayError: STORAGE_QUOTA_EXCEEDED.
    """
    quota: UserQuota | None = session.info.get(USER_QUOTA)
    if quota is None:
        return
    room = await quota.check_disk(session)
    kinds = _GROWS.get(action, frozenset())
    if owner_id is None or owner_id == actor_id:
        await quota.check(session, actor_id, kinds | _AUDIT, room)
        return
    await quota.check(session, actor_id, _AUDIT, room)
    if kinds:
        await quota.check(session, owner_id, kinds, room)


async def check_room(session: AsyncSession, profile_id: str) -> None:
    """Check that a user may make a change at all, before it is made to files. Only reads.

    Raises:
        GatewayError: STORAGE_QUOTA_EXCEEDED.
    """
    quota: UserQuota | None = session.info.get(USER_QUOTA)
    if quota is not None:
        await quota.check_disk(session)
        stored = await read_stored(session, profile_id)
        if quota.is_audit_full(stored):
            raise quota.refused("user_quota", quota.audit_message(stored))


async def is_audit_full(session: AsyncSession, profile_id: str) -> bool:
    """Whether the audit events of what a user has done have no room for another one."""
    quota: UserQuota | None = session.info.get(USER_QUOTA)
    return quota is not None and quota.is_audit_full(await read_stored(session, profile_id))


class UserQuota:
    """The limits of users, on the disk of SQLite."""

    def __init__(
        self,
        limits: UserLimits,
        folder: Path | None,
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        """`folder` is that of the SQLite file; None: the database has its own disk.

        `on_refusal` gets the kind of each: `user_quota` or `disk`.
        """
        self._limits = limits
        self._folder = folder
        self._on_refusal = on_refusal

    async def check_disk(self, session: AsyncSession) -> int | None:
        """Return the bytes that the disk holds beside what runs need; None: it is not known.

        Raises:
            GatewayError: STORAGE_QUOTA_EXCEEDED if it holds none.
        """
        if self._folder is None:
            return None
        # of the file, which are given back to the disk a while after a deletion
        free_pages: int = (await session.execute(_FREE_PAGES_BYTES)).scalar_one()
        room = room_beside_runs(self._folder) + free_pages
        if room <= 0:
            message = (
                "the database's disk has too little room: delete flows, deployments or runs that "
                "are not needed, or ask the operator for more"
            )
            raise self.refused("disk", message)
        return room

    async def check(
        self,
        session: AsyncSession,
        profile_id: str,
        kinds: frozenset[StorageKind],
        room: int | None,
    ) -> None:
        """Check what the session's transaction has written for a user; `room`: of `check_disk`.

        Raises:
            GatewayError: STORAGE_QUOTA_EXCEEDED, with what to delete.
        """
        stored, rows = await _read(session, profile_id)
        if self._is_near(stored, kinds, room):
            # What others are storing now is known when they have ended.
            await advisory_lock(session, f"user storage {profile_id}")
            stored, rows = await _read(session, profile_id)
        message = self._excess(stored, kinds, room)
        if message:
            raise self.refused("user_quota", message)
        if rows > _MANY_ROWS:
            await _add_up(session, profile_id)

    def refused(self, kind: str, message: str) -> GatewayError:
        """Count a refusal, and return its error."""
        if self._on_refusal is not None:
            self._on_refusal(kind)
        return GatewayError(ErrorCode.STORAGE_QUOTA_EXCEEDED, message)

    def is_audit_full(self, stored: StoredOfUser) -> bool:
        """Whether a user's audit events have no room for another one."""
        return stored[StorageKind.AUDIT_EVENTS].bytes + _EVENT_BYTES > self._limits.audit_bytes

    def audit_message(self, stored: StoredOfUser) -> str:
        """Return why a change has no room for its audit event."""
        return (
            f"the audit events of your changes have {stored[StorageKind.AUDIT_EVENTS].bytes} of "
            f"{self._limits.audit_bytes} bytes (setting SLIPSTREAM_USER_AUDIT_BYTES): ask the "
            "operator to delete old ones with `slipstream audit prune`, or for more; until then "
            "you can delete, pause and deactivate, and calls go on"
        )

    def _is_near(
        self, stored: StoredOfUser, kinds: frozenset[StorageKind], room: int | None
    ) -> bool:
        used, limit = _definition_bytes(stored), self._definition_limit(stored, room)
        if kinds & _DEFINITIONS and limit - used < max(limit // _NEAR, _NEAR_BYTES):
            return True
        return any(
            most - stored[kind].number < max(most // _NEAR, _NEAR_NUMBER)
            for kind, most in self._limits.numbers.items()
            if kind in kinds
        )

    def _definition_limit(self, stored: StoredOfUser, room: int | None) -> int:
        """Return the bytes of definitions that a user may have: at most half of what fits."""
        limit = self._limits.definition_bytes
        if room is None:
            return limit
        return min(limit, (_definition_bytes(stored) + room) // 2)

    def _excess(self, stored: StoredOfUser, kinds: frozenset[StorageKind], room: int | None) -> str:
        """Return which of the limits is exceeded, with what to do; an empty text: none is."""
        if kinds & _DEFINITIONS:
            most = self._definition_limit(stored, room)
            if _definition_bytes(stored) > most:
                return _definitions_exceeded(stored, most)
        for kind, most in self._limits.numbers.items():
            if kind in kinds and stored[kind].number > most:
                noun, setting = kind.replace("api_keys", "API keys"), f"USER_{kind.upper()}"
                return (
                    f"you have {stored[kind].number - 1} {noun}, of {most} that a user may have "
                    f"(setting SLIPSTREAM_{setting}): delete {noun} that are not needed, or ask "
                    "the operator for more"
                )
        if kinds & _AUDIT and stored[StorageKind.AUDIT_EVENTS].bytes > self._limits.audit_bytes:
            return self.audit_message(stored)
        return ""


def _definition_bytes(stored: StoredOfUser) -> int:
    return sum(stored[kind].bytes for kind in _DEFINITIONS)


def _definitions_exceeded(stored: StoredOfUser, most: int) -> str:
    flows, versions = stored[StorageKind.FLOWS].bytes, stored[StorageKind.VERSIONS].bytes
    advice = "delete flows that are not needed"
    if versions > flows:
        advice = "delete deployments that are not needed, and their versions with them"
    return (
        f"with this change your flows with their revisions have {flows} bytes, and the versions of "
        f"your deployments {versions}, of {most} together (setting "
        "SLIPSTREAM_USER_DEFINITION_BYTES, and at most half of what the disk of SQLite holds): "
        f"{advice}, or ask the operator for more"
    )


async def _read(session: AsyncSession, profile_id: str) -> tuple[StoredOfUser, int]:
    """Return what is stored of a user, and how many rows say so."""
    number = cast(func.sum(UserStorage.number), BigInteger)
    size = cast(func.sum(UserStorage.bytes), BigInteger)
    statement = (
        select(UserStorage.kind, number, size, func.count())
        .where(UserStorage.profile_id == profile_id)
        .group_by(UserStorage.kind)
    )
    found = (await session.execute(statement)).all()
    stored = {kind: Stored(number, size) for kind, number, size, _ in found}
    rows = sum(count for _, _, _, count in found)
    return {kind: stored.get(kind, _NOTHING) for kind in StorageKind}, rows


async def _add_up(session: AsyncSession, profile_id: str) -> None:
    """Replace rows of a user by their sums; those that another transaction replaces stay."""
    these = (
        select(UserStorage.id)
        .where(UserStorage.profile_id == profile_id)
        .limit(_ADDED_UP_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    columns = UserStorage.kind, UserStorage.number, UserStorage.bytes
    statement = delete(UserStorage).where(UserStorage.id.in_(these)).returning(*columns)
    sums: dict[str, Stored] = {}
    for kind, number, size in (await session.execute(statement)).all():
        before = sums.get(kind, _NOTHING)
        sums[kind] = Stored(before.number + number, before.bytes + size)
    rows = [
        {"profile_id": profile_id, "kind": kind, "number": total.number, "bytes": total.bytes}
        for kind, total in sorted(sums.items())
        if any(total)
    ]
    if rows:
        await session.execute(insert(UserStorage), rows)
