"""How often a password may be guessed, by the address that guesses and the user it guesses at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.acts import record_failures_from, record_failures_of
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode

WINDOW = timedelta(minutes=15)
MOST_FOR_EMAIL = 10
"""Failures within the window: a thousand guesses a day, at passwords of a hundred million."""
MOST_FROM_ADDRESS = 50
"""More than for an e-mail: an office shares one."""
_NETWORK_BITS = 64
"""Of an IPv6 address: whoever has one of them has them all."""
MOST_ACTS = 50
"""Within the window, of users and of addresses each: nobody fills the audit log by failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A log-in that was counted, and how many it is by now within the window."""

    of_email: int
    from_address: int
    """0 where it has none."""
    address: str
    """What counts as one."""


class Throttle:
    """Counts in the database, so that all processes count together.

    An attempt is counted before its password is looked at, and taken back when it was right: of
    many at once no more than the limit are looked at.
    """

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def begin(self, email: str, address: str | None) -> Attempt:
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
        async with self._db.write(feeds=False) as session:
            await store.forget_failures_before(session, moment - WINDOW)
            for subject, most in sorted(limits.items()):  # in one order: no two wait for each other
                counts[subject] = await self._count(session, subject, moment)
                if counts[subject] > most:
                    raise _too_many(moment, moment)
        of_email = counts.pop(self._subject("email", email))
        return Attempt(
            of_email=of_email,
            from_address=sum(counts.values()),
            address=_part(address) if address else "",
        )

    async def failed(self, attempt: Attempt, user: Profile | None) -> None:
        """Tell the trail of a failure that is the first for a user, or the last that is let in.

        Of an address only the last is told. What was typed in place of a user's address is not.
        """
        of_user = attempt.of_email in {1, MOST_FOR_EMAIL}
        of_address = attempt.from_address == MOST_FROM_ADDRESS
        if not (of_user or of_address):
            return
        async with self._db.write(feeds=False) as session:
            if of_user:
                # for nobody, too: who asks must not learn from the time that nobody is there
                told = await self._may_tell(session, "users" if user else "nobody")
                if told and user is not None:
                    await record_failures_of(session, user, attempt.of_email)
            if of_address and await self._may_tell(session, "addresses"):
                await record_failures_from(session, attempt.address, attempt.from_address)

    async def succeeded(self, email: str, address: str | None) -> None:
        """Forget the user's failures: the password was right; the address keeps its others."""
        own = self._subject("email", email)
        async with self._db.write(feeds=False) as session:
            for subject in sorted(self._limits(email, address)):
                if subject == own:
                    await store.forget_failures(session, subject)
                else:
                    await store.take_back_failure(session, subject)

    async def _may_tell(self, session: AsyncSession, kind: str) -> bool:
        return await self._count(session, self._subject("acts", kind), now()) <= MOST_ACTS

    async def _count(self, session: AsyncSession, subject: str, moment: datetime) -> int:
        return await store.count_failure(session, self._db.dialect, subject, moment)

    def _limits(self, email: str, address: str | None) -> dict[str, int]:
        limits = {self._subject("email", email): MOST_FOR_EMAIL}
        if address is not None:
            limits[self._subject("address", _part(address))] = MOST_FROM_ADDRESS
        return limits

    def _subject(self, kind: str, name: str) -> str:
        return self._hasher.digest(f"{kind}:{name}").hex()


def _part(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, _NETWORK_BITS), strict=False))


def _too_many(since: datetime, moment: datetime) -> GatewayError:
    seconds = (since + WINDOW - moment).total_seconds()
    message = (
        f"too many log-ins have failed: wait {max(1, round(seconds / 60))} minutes, or have the "
        "password reset (slipstream users reset-password)"
    )
    return GatewayError(ErrorCode.TOO_MANY_FAILURES, message, retry_after=max(1.0, seconds))
