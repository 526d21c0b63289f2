"""From the key that a request carries to who sent it, without the database on the way."""

from __future__ import annotations

from gateway.auth import store
from gateway.auth.identity import Identity, Scope
from gateway.auth.keys import LENGTH, KeyHasher, is_well_formed
from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from gateway.storage.cache import Cache
from gateway.storage.changes import ChangeFeed, Kind
from gateway.storage.database import Database
from protos.errors import ErrorCode


class Authenticator:
    """Identities by key hash, in memory; changes to keys arrive through the feed."""

    def __init__(
        self, db: Database, hasher: KeyHasher, feed: ChangeFeed, *, size: int = 10_000
    ) -> None:
        self._db = db
        self._digest = hasher.digest
        self._identities: Cache[bytes, Identity] = Cache(self._load, size=size)
        feed.subscribe(Kind.API_KEY, self._changed)

    def identify(self, key: str) -> Identity | None:
        """Return who holds the key if that is known here; None says: ask `authenticate`."""
        if len(key) != LENGTH or not key.isascii():
            return None
        return self._identities.get(self._digest(key))

    async def authenticate(self, key: str | None) -> Identity:
        """Return who holds the key, asking the database where it is not known here.

        Raises:
            GatewayError: API_KEY_MISSING, API_KEY_INVALID or API_KEY_DEACTIVATED.
        """
        if key is None:
            message = "this call needs an API key: send it in the header X-API-Key"
            raise GatewayError(ErrorCode.API_KEY_MISSING, message)
        if not is_well_formed(key):
            message = (
                "this is no API key: expected sk- and 46 letters and digits, copied in full"
                " (a masked key does not work)"
            )
            raise GatewayError(ErrorCode.API_KEY_INVALID, message)
        return await self._identities.find(self._digest(key))

    async def _load(self, digest: bytes) -> Identity:
        async with self._db.read() as session:
            row = await store.key_with_hash(session, digest)
        if row is None:
            message = "the API key is unknown, or was deleted: create another one"
            raise GatewayError(ErrorCode.API_KEY_INVALID, message)
        if row.state != "active":
            message = f"the API key '{row.name}' is deactivated: activate it, or use another one"
            raise GatewayError(ErrorCode.API_KEY_DEACTIVATED, message)
        return Identity(
            key_id=row.id,
            profile_id=row.profile_id,
            scope=Scope(row.scope),
            deployments=None if row.deployments is None else frozenset(row.deployments),
            limits=CallLimits.of(row.limits),
        )

    def _changed(self, key_id: str | None) -> None:
        gone = None if key_id is None else lambda identity: identity.key_id == key_id
        self._identities.forget(gone)
