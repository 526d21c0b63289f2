"""Live deployments in memory: one look-up on the way of a call."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.deployments.live import LiveDeployment, go_live
from gateway.deployments.modes import Status
from gateway.deployments.store import gone, live_version
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.cache import Cache
from gateway.storage.changes import ChangeFeed, Kind
from gateway.storage.database import Database
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tombstone:
    id: str
    profile_id: str


class Directory:
    """Deployments by id; changes arrive through the feed."""

    def __init__(self, db: Database, feed: ChangeFeed, *, size: int = 10_000) -> None:
        self._db = db
        self._entries: Cache[str, LiveDeployment | _Tombstone] = Cache(self._load, size=size)
        feed.subscribe(Kind.DEPLOYMENT, self._changed)

    def get(self, deployment_id: str) -> LiveDeployment | None:
        """Return the deployment if it is known here, whoever's it is; None says: ask `find`."""
        entry = self._entries.get(deployment_id)
        return entry if type(entry) is LiveDeployment else None

    async def find(self, deployment_id: str, profile_id: str) -> LiveDeployment:
        """Return the profile's deployment, asking the database where it is not known here.

        Raises:
            GatewayError: NOT_FOUND where there is none, or another profile's; GONE for the
                owner of a deleted one.
        """
        if not is_id(deployment_id):
            raise _unknown(deployment_id)
        entry = await self._entries.find(deployment_id.lower())
        if entry.profile_id != profile_id:
            raise _unknown(deployment_id)
        if isinstance(entry, _Tombstone):
            raise gone(entry.id)
        return entry

    async def _load(self, deployment_id: str) -> LiveDeployment | _Tombstone:
        async with self._db.read() as session:
            deployment = await session.get(Deployment, deployment_id)
            if deployment is None:
                raise _unknown(deployment_id)
            if deployment.status == Status.DELETED:
                return _Tombstone(id=deployment.id, profile_id=deployment.profile_id)
            return go_live(deployment, await live_version(session, deployment))

    def _changed(self, deployment_id: str | None) -> None:
        gone_id = deployment_id
        self._entries.forget(None if gone_id is None else lambda entry: entry.id == gone_id)


def _unknown(deployment_id: str) -> GatewayError:
    return GatewayError(ErrorCode.NOT_FOUND, f"there is no deployment '{deployment_id}'")
