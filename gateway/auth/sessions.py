"""Console sessions: opened at login, checked at every request, ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth import session_store as store
from gateway.auth.identity import Identity, Role, Scope
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.audit_events import AuditTarget, record_event, row_snapshot
from gateway.storage.cache import Cache
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest
from protos.errors import ErrorCode

_TOKEN_BYTES = 32
_TOKEN_LENGTH = 43
"""Of 32 bytes in URL-safe base64."""
_TOUCH_INTERVAL = timedelta(minutes=1)
"""The shortest time between two writes of `last_seen_at`."""
_MAX_USER_AGENT_LENGTH = 200
_MAX_ADDRESS_LENGTH = 64


@dataclass(slots=True, kw_only=True)
class _CachedSession:
    """A session in memory."""

    identity: Identity
    expires_at: datetime
    seen_at: datetime
    """By this process, or by another one before it was loaded."""
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that was just opened, with its token, which cannot be read again."""

    row: ConsoleSession
    token: str


class SessionService:
    """The sessions of all users."""

    def __init__(
        self,
        db: Database,
        hasher: KeyHasher,
        feed: ChangeFeed,
        *,
        idle: timedelta,
        lifetime: timedelta,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.idle = idle
        """How long a session may be idle."""
        self.lifetime = lifetime
        """How long it lasts, even if it is in use."""
        self._db = db
        self._now = clock
        self._digest = hasher.digest
        self._touch = min(_TOUCH_INTERVAL, idle / 10)  # or other processes would consider it idle
        self._sessions: Cache[bytes, _CachedSession] = Cache(self._load)
        feed.subscribe(ChangeKind.SESSION, self._ended)
        feed.subscribe(ChangeKind.PROFILE, self._profile_changed)

    async def identify(self, token: str) -> Identity:
        """Return the session's identity; raise SESSION_INVALID if it is unknown or has ended."""
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            raise _session_invalid()
        digest = self._digest(token)
        live = await self._sessions.find(digest)
        moment = self._now()
        if moment >= min(live.expires_at, live.seen_at + self.idle):
            # another process may have used it: the row says when
            self._sessions.invalidate(lambda one: one is live)
            live = await self._sessions.find(digest)
        live.seen_at = moment
        if moment - live.written_at >= self._touch:
            live.written_at = moment
            async with self._db.write() as session:
                await store.touch_session(session, str(live.identity.session_id), moment)
        return live.identity

    async def open(
        self, session: AsyncSession, profile_id: str, *, address: str | None, user_agent: str | None
    ) -> NewSession:
        """Open a session in the caller's transaction, and delete those that have ended."""
        token, moment = secrets.token_urlsafe(_TOKEN_BYTES), self._now()
        await store.delete_ended_sessions(session, moment, seen_after=moment - self.idle)
        row = ConsoleSession(
            id=new_id(),
            profile_id=profile_id,
            token_hash=self._digest(token).hex(),
            created_at=moment,
            expires_at=moment + self.lifetime,
            last_seen_at=moment,
            address=address[:_MAX_ADDRESS_LENGTH] if address else None,
            user_agent=user_agent[:_MAX_USER_AGENT_LENGTH] if user_agent else None,
        )
        session.add(row)
        await session.flush()
        await record_event(
            session,
            action="session.create",
            target_kind=AuditTarget.SESSION,
            target_id=row.id,
            after=row_snapshot(row),
            owner_id=profile_id,
        )
        return NewSession(row=row, token=token)

    async def get(self, profile_id: str, session_id: str) -> ConsoleSession:
        """Return a user's session, or raise NOT_FOUND."""
        async with self._db.read() as session:
            return await find_owned(session, ConsoleSession, profile_id, session_id)

    async def page(self, profile_id: str, request: PageRequest) -> Page[ConsoleSession]:
        """Return a page of a user's sessions, newest first."""
        async with self._db.read() as session:
            moment = self._now()
            return await store.session_page(
                session, profile_id, request, moment=moment, seen_after=moment - self.idle
            )

    async def end(self, profile_id: str, session_id: str) -> None:
        """End a user's session, announced to all processes; raise NOT_FOUND."""
        async with self._db.write() as session:
            row = await find_owned(session, ConsoleSession, profile_id, session_id, lock=True)
            await session.delete(row)
            await record_event(
                session,
                action="session.delete",
                target_kind=AuditTarget.SESSION,
                target_id=row.id,
                before=row_snapshot(row),
                owner_id=profile_id,
            )
            record_change(session, ChangeKind.SESSION, row.id)
        self._ended(row.id)

    async def discard(self, token: str) -> None:
        """End the session of a token, if it is valid."""
        try:
            identity = await self.identify(token)
            await self.end(identity.profile_id, str(identity.session_id))
        except GatewayError:
            return

    async def end_all(self, profile_id: str) -> None:
        """End all sessions of a user, announced to all processes."""
        async with self._db.write() as session:
            ended = await store.end_sessions_of(session, profile_id)
            await record_event(
                session,
                action="user.end_sessions",
                target_kind=AuditTarget.USER,
                target_id=profile_id,
                after={"sessions_ended": ended},
            )
            record_change(session, ChangeKind.PROFILE, profile_id)
        self._profile_changed(profile_id)

    async def _load(self, digest: bytes) -> _CachedSession:
        async with self._db.read() as session:
            found = await store.session_with_hash(session, digest.hex())
        if found is None:
            raise _session_invalid()
        row, profile = found
        if (
            self._now() >= min(row.expires_at, row.last_seen_at + self.idle)
            or profile.state != "active"
        ):
            raise _session_invalid()
        identity = Identity(
            key_id=None,
            profile_id=profile.id,
            scope=Scope.MANAGE,
            deployments=None,
            role=Role(profile.role),
            session_id=row.id,
        )
        return _CachedSession(
            identity=identity,
            expires_at=row.expires_at,
            seen_at=row.last_seen_at,
            written_at=row.last_seen_at,
        )

    def _ended(self, session_id: str | None) -> None:
        matches = None if session_id is None else lambda one: one.identity.session_id == session_id
        self._sessions.invalidate(matches)

    def _profile_changed(self, profile_id: str | None) -> None:
        matches = None if profile_id is None else lambda one: one.identity.profile_id == profile_id
        self._sessions.invalidate(matches)


def _session_invalid() -> GatewayError:
    message = "the session is unknown or has ended: log in at POST /node/session/"
    return GatewayError(ErrorCode.SESSION_INVALID, message)
