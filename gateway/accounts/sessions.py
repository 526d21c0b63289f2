"""Console sessions: opened at login, looked up at every request, ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.auth.identity import Identity, Role, Scope
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.audit_events import AuditTarget, record_event, row_snapshot
from gateway.storage.cache import Cache
from gateway.storage.changes import ChangeFeed, ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest
from protos.errors import ErrorCode

_TOKEN_BYTES = 32
_TOKEN_LENGTH = 43
"""Of 32 bytes in URL-safe base64."""
_TOUCH_INTERVAL = timedelta(minutes=1)
"""Between two writes of when a session was last seen, at least."""
_MAX_USER_AGENT_LENGTH = 200
_MAX_ADDRESS_LENGTH = 64


@dataclass(slots=True, kw_only=True)
class _CachedSession:
    """A session in memory."""

    identity: Identity
    expires_at: datetime
    seen_at: datetime
    """By this process, or by another one when this was loaded."""
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session just opened: the only moment at which its token can be read."""

    row: ConsoleSession
    token: str


class SessionService:
    """The sessions of all users. Fills the port `gateway.auth.sessions.Sessions`."""

    def __init__(
        self,
        db: Database,
        hasher: KeyHasher,
        feed: ChangeFeed,
        *,
        idle: timedelta,
        lifetime: timedelta,
    ) -> None:
        self.idle = idle
        """How long a session may be left alone."""
        self.lifetime = lifetime
        """How long it lasts, however much it is used."""
        self._db = db
        self._digest = hasher.digest
        self._touch = min(
            _TOUCH_INTERVAL, idle / 10
        )  # so that no other process takes it for left alone
        self._live: Cache[bytes, _CachedSession] = Cache(self._load)
        feed.subscribe(ChangeKind.SESSION, self._ended)
        feed.subscribe(ChangeKind.PROFILE, self._profile_changed)

    async def identify(self, token: str) -> Identity:
        """Return whose session it is; raise SESSION_INVALID where it is none, or has ended."""
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            raise _session_invalid()
        digest = self._digest(token)
        live = await self._live.find(digest)
        moment = now()
        if moment >= min(live.expires_at, live.seen_at + self.idle):
            # another process may have seen it meanwhile: the row knows
            self._live.forget(lambda one: one is live)
            live = await self._live.find(digest)
        live.seen_at = moment
        if moment - live.written_at >= self._touch:
            live.written_at = moment
            async with self._db.write(notify=False) as session:
                await store.touch_session(session, str(live.identity.session_id), moment)
        return live.identity

    async def open(
        self, session: AsyncSession, profile_id: str, *, address: str | None, user_agent: str | None
    ) -> NewSession:
        """Open a session in the caller's transaction; those that are over are deleted."""
        token, moment = secrets.token_urlsafe(_TOKEN_BYTES), now()
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
            moment = now()
            return await store.session_page(
                session, profile_id, request, moment=moment, seen_after=moment - self.idle
            )

    async def end(self, profile_id: str, session_id: str) -> None:
        """End a user's session, in all processes within a moment; raise NOT_FOUND."""
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
            await record_change(session, ChangeKind.SESSION, row.id)
        self._ended(row.id)

    async def discard(self, token: str) -> None:
        """End the session of a token, where it is one."""
        try:
            identity = await self.identify(token)
            await self.end(identity.profile_id, str(identity.session_id))
        except GatewayError:
            return

    async def end_all(self, profile_id: str) -> None:
        """End all sessions of a user, in all processes within a moment."""
        async with self._db.write() as session:
            ended = await store.end_sessions_of(session, profile_id)
            await record_event(
                session,
                action="user.end_sessions",
                target_kind=AuditTarget.USER,
                target_id=profile_id,
                after={"sessions_ended": ended},
            )
            await record_change(session, ChangeKind.PROFILE, profile_id)
        self._profile_changed(profile_id)

    async def _load(self, digest: bytes) -> _CachedSession:
        async with self._db.read() as session:
            found = await store.session_with_hash(session, digest.hex())
        if found is None:
            raise _session_invalid()
        row, profile = found
        if now() >= min(row.expires_at, row.last_seen_at + self.idle) or profile.state != "active":
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
        gone = None if session_id is None else lambda one: one.identity.session_id == session_id
        self._live.forget(gone)

    def _profile_changed(self, profile_id: str | None) -> None:
        gone = None if profile_id is None else lambda one: one.identity.profile_id == profile_id
        self._live.forget(gone)


def _session_invalid() -> GatewayError:
    message = "this session has ended, or never was one: log in at POST /node/session/"
    return GatewayError(ErrorCode.SESSION_INVALID, message)
