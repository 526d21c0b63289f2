"""Begins watches, and writes what they report."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.auth.keys import KeyHasher
from gateway.auth.store import key_with_hash
from gateway.call_watches import store
from gateway.call_watches.reports import CallReport
from gateway.deployments.store import find_deployment
from gateway.errors import GatewayError
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.watch_tables import CallWatch, WatchedCall
from protos.errors import ErrorCode

_MAX_WATCHES = 20
"""Deployments of one user that are watched at once."""
MAX_WATCHED = 2_000
"""Watched deployments that a gateway knows of, of all users."""


class WatchService:
    """The watches of all users."""

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def begin(self, profile_id: str, deployment_id: str, seconds: int) -> int:
        """Watch a deployment for `seconds`; return the number of the last call until now.

        Raises:
            GatewayError: NOT_FOUND, GONE; RATE_LIMITED if the user watches many others.
        """
        async with self._db.write() as session:
            row = await find_deployment(session, profile_id, deployment_id, lock=True)
            if await store.count_others(session, profile_id, row.id) >= _MAX_WATCHES:
                message = f"{_MAX_WATCHES} deployments are watched already: wait until one ends"
                raise GatewayError(ErrorCode.RATE_LIMITED, message, retry_after=seconds)
            await store.begin(session, self._db.dialect, row.id, profile_id, seconds)
            record_change(session, ChangeKind.CALL_WATCH, row.id)
            return await store.last_number(session, row.id)

    async def calls(self, profile_id: str, deployment_id: str, after: int) -> Sequence[WatchedCall]:
        """Return the reported calls after the one with the number `after`, in their order.

        Raises:
            GatewayError: NOT_FOUND, GONE.
        """
        async with self._db.read() as session:
            row = await find_deployment(session, profile_id, deployment_id)
            return await store.calls_after(session, row.id, after)

    async def active(self) -> list[CallWatch]:
        """Return the watches that have not ended."""
        async with self._db.read() as session:
            return await store.active(session, MAX_WATCHED)

    async def report(self, call: CallReport) -> bool:
        """Report a call to its owner's streams in every gateway; False: the watch has ended."""
        async with self._db.write() as session:
            taken = await store.next_number(session, call.deployment_id)
            if taken is None:
                return False
            profile_id = taken.profile_id
            is_foreign = False
            if call.key is not None:  # the mask of a key is for its own user
                row = await key_with_hash(session, self._hasher.digest(call.key))
                is_foreign = row is not None and row.profile_id != profile_id
            shown = call.shown(with_mask=not is_foreign)
            await store.add_call(session, call.deployment_id, taken.number, profile_id, shown)
            record_change(session, ChangeKind.WATCHED_CALL, call.deployment_id, owner_id=profile_id)
            if taken.is_last:
                record_change(session, ChangeKind.CALL_WATCH, call.deployment_id)
            return True
