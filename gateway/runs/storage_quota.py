"""Whether a run may be stored: the quotas of its user and of the installation, and the disk.

A process asks the database once for a share of what is left, and then admits runs from memory until
the share is used up. Where little is left, each run is checked in the transaction that inserts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.runs.storage_usage import StoredBytes, read_stored_bytes
from gateway.settings import Settings
from gateway.storage.disk_space import room_on_disk
from gateway.storage.quota_tables import INSTALLATION
from gateway.storage.sql import advisory_lock
from protos.errors import ErrorCode

_SHARES = 200
"""Into so many a quota is divided. Each further process may exceed the quota by one of them."""
_MIN_QUOTA_BYTES = 1 << 30
"""Smaller quotas have no shares: each run is checked."""
_SHARE_SECONDS = 60.0
"""For which a share may be used: what the disk has lost to other data since then is not known."""
_NEAR = 4
"""Where less than a quarter of a quota is left, checks of the same user wait for each other."""
_MAX_USERS = 10_000
_WRITES = 2
"""How often SQLite writes what it stores: to the log, and then to the database."""
_ADVICE = (
    "delete runs that are not needed, wait until older ones have expired, or ask the operator for "
    "more"
)


class StorageRefusal(NamedTuple):
    """Why a run is not stored."""

    kind: str
    """`user_storage`, `storage` or `disk`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """Bytes of stored runs and events."""

    installation_bytes: int
    user_bytes: int
    """At most half of the former, so that one user cannot stop the others."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings define."""
        installation = settings.run_storage_bytes
        user = min(settings.user_run_storage_bytes, installation // 2)
        return cls(installation_bytes=installation, user_bytes=user)

    def exceeded(self, stored: StoredBytes, size: int = 0) -> StorageRefusal | None:
        """Return why `size` more bytes do not fit; None if they do."""
        if stored.user + size > self.user_bytes:
            message = (
                f"your stored runs and events have {stored.user} of {self.user_bytes} bytes "
                "(setting SLIPSTREAM_USER_RUN_STORAGE_BYTES, and at most half of what all may have)"
            )
            return StorageRefusal("user_storage", f"{message}: {_ADVICE}")
        if stored.installation + size > self.installation_bytes:
            message = (
                f"all stored runs and events have {stored.installation} of "
                f"{self.installation_bytes} bytes (setting SLIPSTREAM_RUN_STORAGE_BYTES)"
            )
            return StorageRefusal("storage", f"{message}: {_ADVICE}")
        return None

    def within(self, disk_bytes: int) -> StorageLimits:
        """Return the limits on a disk that has room for so many bytes of runs and events."""
        installation = min(self.installation_bytes, disk_bytes)
        return StorageLimits(
            installation_bytes=installation, user_bytes=min(self.user_bytes, installation // 2)
        )


@dataclass(slots=True)
class _Share:
    """Bytes that may be stored without asking the database."""

    left: int
    expires: float


class StorageQuota:
    """Admits new runs. For one event loop."""

    def __init__(
        self,
        limits: StorageLimits,
        *,
        folder: Path | None = None,
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        """`folder` is that of the SQLite file; None: the database has its own disk.

        `on_refusal` gets the kind of each.
        """
        self.limits = limits
        self._folder = folder
        self._on_refusal = on_refusal
        self._shares: dict[str, _Share] = {}

    def admit(self, profile_id: str, size: int) -> bool:
        """Admit a run of a user from memory; False: it needs a `check`."""
        present = monotonic()
        user, installation = self._shares.get(profile_id), self._shares.get(INSTALLATION)
        if user is None or installation is None:
            return False
        if min(user.expires, installation.expires) < present:
            return False
        if min(user.left, installation.left) < size:
            return False
        user.left -= size
        installation.left -= size
        return True

    async def check(self, session: AsyncSession, profile_id: str, size: int) -> None:
        """Check that a run of `size` bytes fits, which the session's transaction will insert.

        Raises:
            GatewayError: STORAGE_QUOTA_EXCEEDED.
        """
        stored = await read_stored_bytes(session, profile_id)
        limits = self._limits_with(stored, size)
        if _is_near(limits.user_bytes, stored.user):
            # What others are storing now is known when they have ended.
            await advisory_lock(session, f"storage {profile_id}")
            stored = await read_stored_bytes(session, profile_id)
        refusal = limits.exceeded(stored, size)
        if refusal is not None:
            raise self._refused(refusal)
        self._renew(profile_id, limits.user_bytes, stored.user + size)
        self._renew(INSTALLATION, limits.installation_bytes, stored.installation + size)

    def _limits_with(self, stored: StoredBytes, size: int) -> StorageLimits:
        """Return the limits, on SQLite with regard to its disk."""
        if self._folder is None:
            return self.limits
        room = room_on_disk(self._folder)
        if room < _WRITES * size:
            message = f"the database's disk has too little room: {_ADVICE}"
            raise self._refused(StorageRefusal("disk", message))
        return self.limits.within(stored.installation + room)

    def _renew(self, of: str, quota: int, used: int) -> None:
        if len(self._shares) >= _MAX_USERS:
            self._shares.clear()
        share = quota // _SHARES if _has_shares(quota) else 0
        self._shares[of] = _Share(min(share, quota - used), monotonic() + _SHARE_SECONDS)

    def _refused(self, refusal: StorageRefusal) -> GatewayError:
        if self._on_refusal is not None:
            self._on_refusal(refusal.kind)
        return GatewayError(ErrorCode.STORAGE_QUOTA_EXCEEDED, refusal.message)


def _has_shares(quota: int) -> bool:
    return quota >= _MIN_QUOTA_BYTES


def _is_near(quota: int, used: int) -> bool:
    return not _has_shares(quota) or quota - used < quota // _NEAR
