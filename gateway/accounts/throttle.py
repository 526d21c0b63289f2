"""How often a password may be guessed, by the address that guesses and the user it guesses at."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.accounts import store
from gateway.auth.keys import KeyHasher
from gateway.errors import GatewayError
from gateway.limits.households import household
from gateway.storage.clock import now
from gateway.storage.database import Database
from protos.errors import ErrorCode

WINDOW = timedelta(minutes=15)
MOST_FOR_EMAIL = 10
"""Failures within the window: a thousand guesses a day, at passwords of a hundred million."""
MOST_FROM_ADDRESS = 50
"""More than for an e-mail: an office shares one."""


class Throttle:
    """Counts in the database, so that all processes count together.

    An attempt is counted before its password is looked at, and taken back when it was right: of
    many at once no more than the limit are looked at.
    """

    def __init__(self, db: Database, hasher: KeyHasher) -> None:
        self._db = db
        self._hasher = hasher

    async def begin(self, email: str, address: str | None) -> None:
        """Count an attempt.

        Raises:
            GatewayError: TOO_MANY_FAILURES, and nothing is counted.
        """
        moment = now()
        limits = self._limits(email, address)
        async with self._db.read() as session:
            counted = await store.failures_of(session, list(limits))
        for subject, most in limits.items():
            row = counted.get(subject)
            if row is not None and row.count >= most and row.since > moment - WINDOW:
                raise _too_many(row.since, moment)
        async with self._db.write(feeds=False) as session:
            await store.forget_failures_before(session, moment - WINDOW)
            for subject, most in sorted(limits.items()):  # in one order: no two wait for each other
                if await store.count_failure(session, self._db.dialect, subject, moment) > most:
                    raise _too_many(moment, moment)

    async def succeeded(self, email: str, address: str | None) -> None:
        """Forget the user's failures: the password was right; the address keeps its others."""
        own = self._subject("email", email)
        async with self._db.write(feeds=False) as session:
            for subject in sorted(self._limits(email, address)):
                if subject == own:
                    await store.forget_failures(session, subject)
                else:
                    await store.take_back_failure(session, subject)

    def _limits(self, email: str, address: str | None) -> dict[str, int]:
        limits = {self._subject("email", email): MOST_FOR_EMAIL}
        if address is not None:
            limits[self._subject("address", household(address))] = MOST_FROM_ADDRESS
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
