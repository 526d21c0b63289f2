"""Authenticates API keys from memory; only unknown keys need a query."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from gateway.auth import store
from gateway.auth.identity import Identity, Role, Scope
from gateway.auth.key_usage import CachedKey, CountedKey, KeyUsageRecorder
from gateway.auth.keys import KEY_LENGTH, KeyHasher, is_well_formed
from gateway.auth.lifetime import KeyState, ends_at, state_at
from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from gateway.storage.cache import Cache
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import ApiKey, Profile
from protos.errors import ErrorCode

_MAX_REFUSED = 10_000


class KeyAuthenticator:
    """Identities by key hash, in memory; the change feed invalidates them.

    Each resolved key counts as one use: after `cached_identity` has returned an identity, do not
    call `authenticate` as well.
    """

    def __init__(self, db: Database, hasher: KeyHasher, feed: ChangeFeed) -> None:
        self._db = db
        self._digest = hasher.digest
        self.keys: Cache[bytes, CachedKey] = Cache(self._load)
        self._refused: dict[bytes, CountedKey] = {}
        """Keys that exist and are not valid: their requests are counted, too."""
        self.usage = KeyUsageRecorder(db)
        """Records uses of keys. The creator of this object starts and closes it."""
        feed.subscribe(ChangeKind.API_KEY, self._changed)
        feed.subscribe(ChangeKind.PROFILE, self._profile_changed)

    def cached_key(self, key: str | None) -> CachedKey | None:
        """Return a valid key from memory, or None if it is not cached. Does not count a use."""
        if key is None or len(key) != KEY_LENGTH or not key.isascii():
            return None
        cached = self.keys.get(self._digest(key))
        return None if cached is None or cached.ends_at <= time() else cached

    def cached_identity(self, key: str | None, origin: Callable[[], str]) -> Identity | None:
        """Return the identity of a key from memory, or None: then call `authenticate`.

        `origin` returns the address that the request comes from; empty for a Unix socket.
        """
        cached = self.cached_key(key)
        if cached is None:
            return None
        self.usage.count(cached.uses_from(origin()))
        return cached.identity

    async def authenticate(self, key: str | None, address: str) -> Identity:
        """Return the key's identity, from memory or the database.

        `address` is the client's; empty for a Unix socket.

        Raises:
            GatewayError: API_KEY_MISSING, API_KEY_INVALID, API_KEY_DEACTIVATED or API_KEY_EXPIRED.
        """
        if key is None:
            message = "this call needs an API key: send it in the header X-API-Key"
            raise GatewayError(ErrorCode.API_KEY_MISSING, message)
        if not is_well_formed(key):
            message = (
                "API key: expected sk- and 46 letters and digits, got something else: copy the key"
                " in full (a masked key does not work)"
            )
            raise GatewayError(ErrorCode.API_KEY_INVALID, message)
        digest = self._digest(key)
        try:
            credential = await self.keys.find(digest)
            if credential.ends_at <= time():
                self.keys.discard(digest)  # the database says why, and that is remembered
                credential = await self.keys.find(digest)
        except GatewayError:
            refused = self._refused.get(digest)
            if refused is not None:
                self.usage.count(refused.uses_from(address))
            raise
        self.usage.count(credential.uses_from(address))
        return credential.identity

    async def _load(self, digest: bytes) -> CachedKey:
        async with self._db.read() as session:
            row = await store.key_with_hash(session, digest)
            profile = await store.holder_of(session, row) if row else None
            replaced: set[str] = set()
            if row is not None and row.replaces is not None:
                replaced = await store.replaced_by(session, row)
        self._refused.pop(digest, None)
        if row is None or profile is None:
            message = "the API key is unknown or was deleted: create a new one"
            raise GatewayError(ErrorCode.API_KEY_INVALID, message)
        if (refusal := _refusal(row, profile)) is not None:
            if len(self._refused) >= _MAX_REFUSED:
                self._refused.clear()  # the recorder has those that have counted something
            self._refused[digest] = CountedKey(row.id, refused=True)
            raise refusal
        scope = Scope(row.scope)
        sees_all = scope is Scope.MANAGE or row.all_runs
        covered = () if scope is Scope.SERVE else row.deployments
        identity = Identity(
            key_id=row.id,
            profile_id=row.profile_id,
            scope=scope,
            deployments=None if covered is None else frozenset(covered),
            role=Role(profile.role),
            limits=CallLimits.of(row.limits),
            run_keys=None if sees_all else frozenset({row.id, *replaced}),
            replaced_keys=frozenset(replaced),
        )
        return CachedKey(
            identity, key_id=row.id, ends_at=ends_at(row), rotated=row.rotated_at is not None
        )

    def _changed(self, key_id: str | None) -> None:
        gone = None if key_id is None else lambda credential: credential.key_id == key_id
        self.keys.invalidate(gone)

    def _profile_changed(self, profile_id: str | None) -> None:
        gone = None if profile_id is None else lambda one: one.identity.profile_id == profile_id
        self.keys.invalidate(gone)


def _refusal(row: ApiKey, profile: Profile) -> GatewayError | None:
    """Return why a key that exists is not valid; None: it is."""
    match state_at(row, now()):
        case KeyState.DEACTIVATED:
            message = f"the API key '{row.name}' is deactivated: activate it, or use another one"
            return GatewayError(ErrorCode.API_KEY_DEACTIVATED, message)
        case KeyState.EXPIRED:
            return _expired(row)
    if profile.state != "active":
        message = f"the user of the API key '{row.name}' is deactivated: ask an administrator"
        return GatewayError(ErrorCode.API_KEY_DEACTIVATED, message)
    return None


def _expired(row: ApiKey) -> GatewayError:
    if row.grace_ends_at is not None and row.grace_ends_at == ends_at(row):
        message = (
            f"the API key '{row.name}' was rotated, and its grace period ended at "
            f"{row.grace_ends_at.isoformat()}: use its replacement"
        )
    else:
        assert row.expires_at is not None
        message = (
            f"the API key '{row.name}' expired at {row.expires_at.isoformat()}: use another one, "
            "or give it a later expires_at"
        )
    return GatewayError(ErrorCode.API_KEY_EXPIRED, message)
