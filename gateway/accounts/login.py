"""Login, and changes of one's own password."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.accounts import store
from gateway.accounts.login_queue import LoginQueue
from gateway.accounts.login_throttle import LoginThrottle
from gateway.accounts.passwords import PasswordService
from gateway.accounts.users import MAX_EMAIL_LENGTH, UserState
from gateway.auth.identity import Identity
from gateway.auth.session_store import end_sessions_of
from gateway.auth.sessions import NewSession, SessionService
from gateway.errors import GatewayError
from gateway.storage.audit_events import ACTOR, AuditTarget, record_event
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode
from telemetry.logs import logger

log = logger("gateway.accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """The client of a request."""

    address: str | None
    user_agent: str | None


class LoginService:
    """Opens sessions for e-mail address and password."""

    def __init__(
        self,
        db: Database,
        passwords: PasswordService,
        sessions: SessionService,
        throttle: LoginThrottle,
        queue: LoginQueue,
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._sessions = sessions
        self._throttle = throttle
        self._queue = queue

    async def log_in(
        self, email: str, password: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        """Return the user and a new session.

        An unknown user takes as long, so that timing does not reveal which users exist.

        Raises:
            GatewayError: LOGIN_FAILED for every reason; TOO_MANY_FAILURES; OVERLOADED.
        """
        email = email.strip().lower()[:MAX_EMAIL_LENGTH]
        async with self._queue.turn(client.address):
            return await self._log_in(email, password, client)

    async def _log_in(
        self, email: str, password: str, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        attempt = await self._throttle.begin(email, client.address)
        async with self._db.read() as session:
            user = await store.user_with_email(session, email)
        hashed = user.password_hash if user else None
        right = await self._passwords.verify(password, hashed)
        if user is None or hashed is None or not right or user.state != UserState.ACTIVE:
            log.info("login_failed", address=client.address)
            await self._throttle.failed(attempt, user)
            message = "e-mail address or password is wrong, or the user is deactivated"
            raise GatewayError(ErrorCode.LOGIN_FAILED, message)
        await self._throttle.succeeded(email, client.address)
        ACTOR.set(replace(ACTOR.get(), profile_id=user.id))
        rehashed = await self._passwords.rehash_if_needed(password, hashed)
        return await self._open(user.id, hashed, rehashed, client)

    async def change_password(
        self, actor: Identity, old: str, new: str, client: ClientInfo
    ) -> None:
        """Change the user's password and end the user's other sessions.

        Raises:
            GatewayError: LOGIN_FAILED if `old` is wrong; VALIDATION_FAILED if `new` is not
                accepted; TOO_MANY_FAILURES; OVERLOADED.
        """
        async with self._queue.turn(client.address):
            await self._change_password(actor, old, new, client)

    async def _change_password(
        self, actor: Identity, old: str, new: str, client: ClientInfo
    ) -> None:
        async with self._db.read() as session:
            user = await store.find_user(session, actor.profile_id)
        before = user.password_hash
        attempt = await self._throttle.begin(user.email, client.address)
        if before is None or not await self._passwords.verify(old, before):
            await self._throttle.failed(attempt, user)
            raise GatewayError(ErrorCode.LOGIN_FAILED, "old_password: this is not your password")
        await self._throttle.succeeded(user.email, client.address)
        hashed = await self._passwords.accept(new, user.email)
        async with self._db.write() as session:
            row = await store.find_user(session, user.id, lock=True)
            if row.password_hash != before:
                message = "the password was changed concurrently: log in again"
                raise GatewayError(ErrorCode.CONFLICT, message)
            await self._throttle.check_audit_room(session, row.id)
            row.password_hash, row.password_changed_at = hashed, now()
            await end_sessions_of(session, user.id, but=actor.session_id)
            await store.delete_invitation(session, user.id)
            await session.flush()
            await record_event(
                session,
                action="user.change_password",
                target_kind=AuditTarget.USER,
                target_id=row.id,
                target_name=row.email,
                after={"password_changed_at": row.password_changed_at},
            )
            record_change(session, ChangeKind.PROFILE, user.id)

    async def _open(
        self, user_id: str, hashed: str, rehashed: str | None, client: ClientInfo
    ) -> tuple[Profile, NewSession]:
        async with self._db.write() as session:
            row = await store.find_user(session, user_id, lock=True)
            if row.password_hash != hashed or row.state != UserState.ACTIVE:
                message = "the user was changed during the login: log in again"
                raise GatewayError(ErrorCode.LOGIN_FAILED, message)
            await self._throttle.check_audit_room(session, row.id)
            row.last_login_at = now()
            row.password_hash = rehashed or hashed
            opened = await self._sessions.open(
                session, row.id, address=client.address, user_agent=client.user_agent
            )
        return row, opened
