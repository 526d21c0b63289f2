"""Which supervisor runs the inference servers of the database: a row with a lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update

from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock, seconds_from_now
from gateway.storage.tables import Host

LEASE_SECONDS = 5.0
"""By the database's clock. Another supervisor may begin when the lease of the last one has ended,
which is also how long it waits after that one's machine has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLease:
    """What a supervisor holds.

    Attributes:
        host_id: of its row.
        token: greater than every token before it, so that a late predecessor is recognised.
    """

    host_id: str
    token: int


class HostStore:
    """The row of the host that has the lease, or had it last."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(
        self, *, name: str, owner: str, has_ended: Callable[[str], bool]
    ) -> HostLease | Host:
        """Take the lease, or return the host that has it.

        Args:
            name: of the machine, for people.
            owner: the name of the supervisor's process. It may take its own lease again.
            has_ended: whether the process of a name is known to have ended.
        """
        async with self._db.write() as session:
            await advisory_lock(session, Host.__tablename__)
            is_held = (Host.lease_until > seconds_from_now()).label("is_held")
            found = (await session.execute(select(Host, is_held))).one_or_none()
            token = 1
            if found is not None:
                last: Host = found.Host
                if found.is_held and last.owner != owner and not has_ended(last.owner):
                    return last
                token = last.token + 1
                await session.delete(last)
            lease_until = seconds_from_now(LEASE_SECONDS)
            host = Host(name=name, owner=owner, token=token, lease_until=lease_until)
            session.add(host)
            await session.flush()
            return HostLease(host_id=host.id, token=token)

    async def renew(self, lease: HostLease) -> bool:
        """Let the lease go on from now; return False if another host has taken it."""
        return await self._end_in(lease, LEASE_SECONDS)

    async def release(self, lease: HostLease) -> None:
        """End the lease at once, if it is still held."""
        await self._end_in(lease, 0.0)

    async def _end_in(self, lease: HostLease, seconds: float) -> bool:
        """Let the lease end in so many seconds; return False if another host has it."""
        changed = (
            update(Host)
            .where(Host.id == lease.host_id, Host.token == lease.token)
            .values(lease_until=seconds_from_now(seconds))
            .returning(Host.id)
        )
        async with self._db.write() as session:
            return (await session.execute(changed)).scalar_one_or_none() is not None
