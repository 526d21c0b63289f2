"""Set-up: the owner gets an e-mail address and a password through a link that works once."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.audit_events import record_user
from gateway.accounts.login import ClientInfo
from gateway.accounts.login_queue import LoginQueue
from gateway.accounts.login_throttle import LoginThrottle
from gateway.accounts.one_time_tokens import OneTimeTokens, count_wrong_token
from gateway.accounts.passwords import PasswordService
from gateway.accounts.users import email_taken, normalize_email
from gateway.auth.identity import Role
from gateway.auth.keys import KeyHasher
from gateway.auth.sessions import NewSession, SessionService
from gateway.auth.store import profile_with_role
from gateway.errors import GatewayError
from gateway.storage.account_tables import SetupToken
from gateway.storage.audit_events import ACTOR, row_snapshot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode

TOKEN_LIFETIME = timedelta(days=1)
"""As the demo's key: the link is printed, and what is printed ends up in journals."""


async def issue_setup_token(db: Database, hasher: KeyHasher, host_id: str) -> str | None:
    """Return a new token for the link that a host prints; None if a user has a password.

    The one that the host had before ends. Those of other hosts stay, because their links have been
    printed, too.
    """
    token, token_hash = OneTimeTokens(hasher).new()
    async with db.write() as session:
        if await store.has_password(session):
            return None
        row = SetupToken(host_id=host_id, token_hash=token_hash, expires_at=now() + TOKEN_LIFETIME)
        await session.merge(row)
    return token


async def is_setup_required(db: Database) -> bool:
    """Whether no user has a password yet."""
    async with db.read() as session:
        return not await store.has_password(session)


class SetupService:
    """Gives the installation its first password."""

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
        self._is_completed = False

    async def is_required(self) -> bool:
        """Whether no user has a password yet.

        Once one has been seen, no query is made: everyone may ask, as often as they like.
        """
        if not self._is_completed:
            self._is_completed = not await is_setup_required(self._db)
        return not self._is_completed

    async def set_up(
        self, token: str, email: str, password: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        """Give the oldest active owner address and password; return them and a new session.

        Raises:
            GatewayError: SETUP_COMPLETED if a user has a password; SETUP_TOKEN_INVALID;
                VALIDATION_FAILED for address or password; CONFLICT if another user has the
                address; TOO_MANY_FAILURES; OVERLOADED.
        """
        email = normalize_email(email)
        async with self._queue.turn(client.address):
            async with self._db.read() as session:
                await _check_required(session)
            await self._check_token(token, email, client)
            hashed = await self._passwords.accept(password, email)
            try:
                async with self._db.write() as session:
                    return await self._apply(session, email, hashed, client)
            except IntegrityError:
                raise email_taken(email) from None

    async def _check_token(self, token: str, email: str, client: ClientInfo) -> None:
        async with self._db.read() as session:
            hashes = await store.setup_token_hashes(session, now())
        given = self._tokens.hash(token)
        if True in [hmac.compare_digest(given, known) for known in hashes]:
            return
        await count_wrong_token(self._throttle, email, client, "setup_failed")
        message = (
            "token: expected the one in the link that `slipstream up` printed at its last "
            "start, within a day, got another one: open that link, or start it again"
        )
        raise GatewayError(ErrorCode.SETUP_TOKEN_INVALID, message)

    async def _apply(
        self, session: AsyncSession, email: str, hashed: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        owner = await profile_with_role(session, Role.OWNER)
        assert owner is not None, "the last active owner can neither be deleted nor deactivated"
        row = await store.find_user(session, owner.id, lock=True)
        await _check_required(session)  # again: another request with the link may have been quicker
        before = row_snapshot(row)
        row.email, row.password_hash, row.password_changed_at = email, hashed, now()
        row.last_login_at = now()
        await store.delete_setup_tokens(session)
        await session.flush()
        ACTOR.set(replace(ACTOR.get(), profile_id=row.id))
        await record_user(session, "set_up", row, before=before, after=row_snapshot(row))
        record_change(session, ChangeKind.PROFILE, row.id)
        opened = await self._sessions.open(
            session, row.id, address=client.address, user_agent=client.user_agent
        )
        return row, opened


async def _check_required(session: AsyncSession) -> None:
    if await store.has_password(session):
        message = "set-up is complete, because a user has a password: log in"
        raise GatewayError(ErrorCode.SETUP_COMPLETED, message)
