"""Invitations: a user sets a password through a link that works once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.audit_events import record_user
from gateway.accounts.login import ClientInfo
from gateway.accounts.login_queue import LoginQueue
from gateway.accounts.login_throttle import LoginThrottle
from gateway.accounts.one_time_tokens import OneTimeTokens, count_wrong_token
from gateway.accounts.passwords import PasswordService
from gateway.accounts.users import UserState, check_can_manage, check_not_own_password
from gateway.auth.identity import Identity, Role
from gateway.auth.keys import KeyHasher
from gateway.auth.session_store import end_sessions_of
from gateway.auth.sessions import NewSession, SessionService
from gateway.errors import GatewayError
from gateway.storage.account_tables import Invitation
from gateway.storage.audit_events import ACTOR, row_snapshot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode

INVITATION_LIFETIME = timedelta(hours=72)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedInvitation:
    """An invitation that was just made, with its token, which cannot be read again."""

    token: str
    expires_at: datetime

    def url(self, base: str) -> str:
        """Return the link below the gateway's address `base`; fragments reach no log."""
        return f"{base}/console/invite#token={self.token}"


class InvitationService:
    """Makes invitations. `by` is the caller's identity; None is the operator."""

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._tokens = OneTimeTokens(hasher)

    async def invite(self, user_id: str, *, by: Identity | None) -> IssuedInvitation:
        """Make a link with which a user sets a password; it ends an older one.

        Raises:
            GatewayError: NOT_FOUND; ROLE_FORBIDDEN; CONFLICT for the caller, and for a deactivated
                user.
        """
        token, token_hash = self._tokens.new()
        expires_at = now() + INVITATION_LIFETIME
        async with self._db.write() as session:
            row = await store.find_user(session, user_id, lock=True)
            check_can_manage(by, Role(row.role))
            check_not_own_password(row.id, by)
            if row.state != UserState.ACTIVE:
                message = f"the user '{row.email}' is deactivated: activate the user first"
                raise GatewayError(ErrorCode.CONFLICT, message)
            invitation = Invitation(profile_id=row.id, token_hash=token_hash, expires_at=expires_at)
            await session.merge(invitation)
            await session.flush()
            await record_user(session, "invite", row, after={"expires_at": expires_at})
        return IssuedInvitation(token=token, expires_at=expires_at)


class InvitationAcceptance:
    """Sets the passwords of invited users, and logs them in."""

    def __init__(
        self,
        db: Database,
        hasher: KeyHasher,
        passwords: PasswordService,
        sessions: SessionService,
        *,
        throttle: LoginThrottle,
        queue: LoginQueue,
    ) -> None:
        self._db = db
        self._tokens = OneTimeTokens(hasher)
        self._passwords = passwords
        self._sessions = sessions
        self._throttle = throttle
        self._queue = queue

    async def accept(
        self, token: str, password: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        """Set the password of the user whom `token` invites; return the user and a new session.

        The user's other sessions end.

        Raises:
            GatewayError: INVITATION_INVALID; VALIDATION_FAILED for the password;
                TOO_MANY_FAILURES; OVERLOADED.
        """
        token_hash = self._tokens.hash(token)
        async with self._queue.turn(client.address):
            async with self._db.read() as session:
                invited = await store.invited_user(session, token_hash, now())
            if invited is None:
                # A wrong token names no user: those of all addresses are counted together, too.
                await count_wrong_token(self._throttle, "", client, "invitation_failed")
                raise _invalid()
            hashed = await self._passwords.accept(password, invited.email)
            async with self._db.write() as session:
                return await self._apply(session, invited.id, token_hash, hashed, client)

    async def _apply(
        self, session: AsyncSession, user_id: str, token_hash: str, hashed: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        row = await store.find_user(session, user_id, lock=True)
        # again: another request with the link may have been quicker
        if await store.invited_user(session, token_hash, now()) is None:
            raise _invalid()
        before = row_snapshot(row)
        row.password_hash, row.password_changed_at = hashed, now()
        row.last_login_at = now()
        await store.delete_invitation(session, row.id)
        await end_sessions_of(session, row.id)
        await session.flush()
        ACTOR.set(replace(ACTOR.get(), profile_id=row.id))
        await record_user(session, "accept_invitation", row, before=before, after=row_snapshot(row))
        record_change(session, ChangeKind.PROFILE, row.id)
        opened = await self._sessions.open(
            session, row.id, address=client.address, user_agent=client.user_agent
        )
        return row, opened


def _invalid() -> GatewayError:
    message = (
        "token: expected the one of an invitation link, which works once within 72 hours and until "
        "the next one is made: ask an admin for a new link"
    )
    return GatewayError(ErrorCode.INVITATION_INVALID, message)
