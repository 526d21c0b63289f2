"""How often a password may be guessed, by the address that guesses and the user it guesses at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.audit_events import record_failures_for_user, record_failures_from
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.limits.failed_auth import client_subnet
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode

WINDOW = timedelta(minutes=15)
MAX_FAILURES_PER_EMAIL = 10
"""Failures within the window: a thousand guesses a day, at passwords of a hundred million."""
MAX_FAILURES_PER_ADDRESS = 50
"""More than for an e-mail: an office shares one."""
MAX_AUDIT_EVENTS = 50
"""Within the window, of users and of addresses each: nobody fills the audit log by failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """A log-in that was counted, and how many it is by now within the window."""

    of_email: int
    from_address: int
    """0 where it has none."""
    address: str
    """What counts as one."""


class LoginThrottle:
    """Counts in the database, so that all processes count together.

    An attempt is counted before its password is looked at, and taken back when it was right: of
    many at once no more than the limit are looked at.
    """

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def begin(self, email: str, address: str | None) -> LoginAttempt:
        """Count an attempt.

        Raises:
            GatewayError: TOO_MANY_FAILURES, and nothing is counted.
        """
        moment = now()
        limits = self._limits(email, address)
        counts: dict[str, int] = {}
        async with self._db.read() as session:
            counted = await store.failures_of(session, list(limits))
        for subject, most in limits.items():
            row = counted.get(subject)
            if row is not None and row.count >= most and row.since > moment - WINDOW:
                raise _too_many(row.since, moment)
        async with self._db.write(notify=False) as session:
            await store.delete_failures_before(session, moment - WINDOW)
            for subject, most in sorted(limits.items()):  # in one order: no two wait for each other
                counts[subject] = await self._count(session, subject, moment)
                if counts[subject] > most:
                    raise _too_many(moment, moment)
        of_email = counts.pop(self._subject("email", email))
        return LoginAttempt(
            of_email=of_email,
            from_address=sum(counts.values()),
            address=client_subnet(address) if address else "",
        )

    async def failed(self, attempt: LoginAttempt, user: Profile | None) -> None:
        """Tell the trail of a failure that is the first for a user, or the last that is let in.

        Of an address only the last is told. What was typed in place of a user's address is not.
        """
        of_user = attempt.of_email in {1, MAX_FAILURES_PER_EMAIL}
        of_address = attempt.from_address == MAX_FAILURES_PER_ADDRESS
        if not (of_user or of_address):
            return
        async with self._db.write(notify=False) as session:
            if of_user:
                # for nobody, too: who asks must not learn from the time that nobody is there
                told = await self._may_tell(session, "users" if user else "nobody")
                if told and user is not None:
                    await record_failures_for_user(session, user, attempt.of_email)
            if of_address and await self._may_tell(session, "addresses"):
                await record_failures_from(session, attempt.address, attempt.from_address)

    async def succeeded(self, email: str, address: str | None) -> None:
        """Forget the user's failures: the password was right; the address keeps its others."""
        own = self._subject("email", email)
        async with self._db.write(notify=False) as session:
            for subject in sorted(self._limits(email, address)):
                if subject == own:
                    await store.reset_failures(session, subject)
                else:
                    await store.decrement_failures(session, subject)

    async def _may_tell(self, session: AsyncSession, kind: str) -> bool:
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
        f"too many log-ins have failed: wait {max(1, round(seconds / 60))} minutes, or have the "
        "password reset (slipstream users reset-password)"
    )
    return GatewayError(ErrorCode.TOO_MANY_FAILURES, message, retry_after=max(1.0, seconds))
