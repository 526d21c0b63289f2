"""Limits on failed logins, per user and per client address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.audit_events import record_failures_for_user, record_failures_from
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.limits.client_subnet import client_subnet
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from gateway.storage.user_storage import is_audit_full
from protos.errors import ErrorCode

WINDOW = timedelta(minutes=15)
MAX_FAILURES_PER_EMAIL = 10
"""Per window: about a thousand guesses a day, against passwords of a hundred million guesses."""
MAX_FAILURES_PER_ADDRESS = 50
"""Higher than per e-mail address, because an office shares an address."""
MAX_LOGINS_WITHOUT_ROOM = 20
"""Per window, of a user whose audit events exceed their limit: logins must not fill the disk."""
MAX_AUDIT_EVENTS = 50
"""Per window, for users and addresses each: failed logins must not fill the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """A counted login attempt, with the counts within the window."""

    of_email: int
    from_address: int
    """0 without an address."""
    address: str
    """The client subnet that is counted."""


class LoginThrottle:
    """Counts in the database, shared by all processes.

    An attempt is counted before its password is checked, and subtracted if it was right. So no
    more than the limit are checked, even if many arrive at once.
    """

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def begin(self, email: str, address: str | None) -> LoginAttempt:
        """Count an attempt.

        Raises:
            GatewayError: TOO_MANY_FAILURES.
        """
        moment = now()
        limits = self._limits(email, address)
        counts: dict[str, int] = {}
        async with self._db.read() as session:
            counted = await store.failures_of(session, list(limits))
        for subject, limit in limits.items():
            row = counted.get(subject)
            if row is not None and row.count >= limit and row.since > moment - WINDOW:
                raise _too_many(row.since, moment)
        async with self._db.write() as session:
            await store.delete_failures_before(session, moment - WINDOW)
            for subject, limit in sorted(limits.items()):  # in a fixed order, to avoid deadlocks
                counts[subject] = await self._count(session, subject, moment)
                if counts[subject] > limit:
                    raise _too_many(moment, moment)
        of_email = counts.pop(self._subject("email", email))
        return LoginAttempt(
            of_email=of_email,
            from_address=sum(counts.values()),
            address=client_subnet(address) if address else "",
        )

    async def failed(self, attempt: LoginAttempt, user: Profile | None) -> None:
        """Record an audit event for a user's first failure, and for the last one before the limit.

        For an address only the last is recorded. The e-mail address that was typed is not stored.
        """
        of_user = attempt.of_email in {1, MAX_FAILURES_PER_EMAIL}
        of_address = attempt.from_address == MAX_FAILURES_PER_ADDRESS
        if not (of_user or of_address):
            return
        async with self._db.write() as session:
            if of_user:
                # for unknown users, too, so that timing does not reveal which users exist
                recorded = await self._may_record(session, "users" if user else "unknown users")
                if recorded and user is not None:
                    await record_failures_for_user(session, user, attempt.of_email)
            if of_address and await self._may_record(session, "addresses"):
                await record_failures_from(session, attempt.address, attempt.from_address)

    async def succeeded(self, email: str, address: str | None) -> None:
        """Reset the user's count, and subtract this attempt from the address's."""
        own = self._subject("email", email)
        async with self._db.write() as session:
            for subject in sorted(self._limits(email, address)):
                if subject == own:
                    await store.reset_failures(session, subject)
                else:
                    await store.decrement_failures(session, subject)

    async def check_audit_room(self, session: AsyncSession, user_id: str) -> None:
        """Count, in the caller's transaction, a login of a user whose audit events have no room.

        Raises:
            GatewayError: TOO_MANY_FAILURES.
        """
        if await is_audit_full(session, user_id):
            moment = now()
            count = await self._count(session, self._subject("full", user_id), moment)
            if count > MAX_LOGINS_WITHOUT_ROOM:
                message = (
                    f"{MAX_LOGINS_WITHOUT_ROOM} logins in {WINDOW.seconds // 60} minutes, the most "
                    "while your audit events have no room (setting SLIPSTREAM_USER_AUDIT_BYTES): "
                    "use a session that you have, or retry later"
                )
                raise GatewayError(
                    ErrorCode.TOO_MANY_FAILURES, message, retry_after=WINDOW.total_seconds()
                )

    async def _may_record(self, session: AsyncSession, kind: str) -> bool:
        return await self._count(session, self._subject("acts", kind), now()) <= MAX_AUDIT_EVENTS

    async def _count(self, session: AsyncSession, subject: str, moment: datetime) -> int:
        return await store.count_failure(session, self._db.dialect, subject, moment)

    def _limits(self, email: str, address: str | None) -> dict[str, int]:
        limits = {self._subject("email", email): MAX_FAILURES_PER_EMAIL}
        if address is not None:
            limits[self._subject("address", client_subnet(address))] = MAX_FAILURES_PER_ADDRESS
        return limits

    def _subject(self, kind: str, name: str) -> str:
        return self._hasher.digest(f"{kind}:{name}").hex()


def _too_many(since: datetime, moment: datetime) -> GatewayError:
    seconds = (since + WINDOW - moment).total_seconds()
    message = (
        f"too many failed logins: retry in {max(1, round(seconds / 60))} minutes, or have the "
        "password reset (slipstream users reset-password)"
    )
    return GatewayError(ErrorCode.TOO_MANY_FAILURES, message, retry_after=max(1.0, seconds))
