"""The machines that run inference servers, each with a lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.orm import aliased

from gateway.storage.audit_events import AuditTarget, record_event
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock, seconds_from_now
from gateway.storage.tables import Host, Replica

LEASE_SECONDS = 5.0
"""By the database's clock. When the lease of a host has ended, others may take its replicas, and a
supervisor that has not joined may begin in place of another one."""
RELOAD_LEASE_SECONDS = 60.0
"""Of a host whose supervisor replaces its program, which may take long on a busy machine."""
_FORGET_SECONDS = 7 * 86_400.0
"""How long after its lease a host that has joined is still listed. One that was cut off for less
goes on with its row."""

IS_ALIVE = Host.lease_until > seconds_from_now()
"""The host's lease lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLease:
    """What a supervisor holds.

    Attributes:
        host_id: of its row.
        token: greater than every token before it, so that a late predecessor is recognised.
    """

    host_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHost:
    """A host as people see it.

    Attributes:
        row: of the host.
        is_alive: whether its lease lasts.
        replicas: how many it runs.
        used_memory_bytes: what these were measured to use.
    """

    row: Host
    is_alive: bool
    replicas: int
    used_memory_bytes: int


class HostStore:
    """The rows of hosts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(
        self,
        *,
        name: str,
        owner: str,
        has_ended: Callable[[str], bool],
        joined: bool = False,
        labels: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
    ) -> HostLease | Host:
        """Take a lease, or return the host that stands in the way.

        Hosts that have joined stand beside each other; of the others, one at a time has a lease.

        A machine is listed once: the row of a host of the same name whose lease has ended is
        deleted, as nothing else tells after a power cycle that it was this one. Whether it is
        cordoned is kept.

        Args:
            name: of the machine, for people.
            owner: the name of the supervisor's process. It may take its own lease again, and keeps
                its row and its replicas.
            has_ended: whether the process of a name is known to have ended.
            joined: whether the machine has joined the installation.
            labels: of the machine: servers can require some.
            memory_bytes: what its inference servers may use together.
        """
        async with self._db.write() as session:
            await advisory_lock(session, Host.__tablename__)
            # As `Placement`: the deletion of a host writes the rows of its replicas.
            await advisory_lock(session, Replica.__tablename__)
            statement = select(Host, IS_ALIVE.label("is_alive")).order_by(Host.id)
            hosts = (await session.execute(statement)).all()
            host = next((each.Host for each in hosts if each.Host.owner == owner), None)
            token = 1 + max((each.Host.token for each in hosts), default=0)
            is_new = host is None
            if host is None:
                host = Host(name=name, owner=owner, joined=joined)
            ended = []
            for other, is_alive in hosts:
                if other is host:
                    continue
                known_ended = has_ended(other.owner)
                in_the_way = not (other.joined or host.joined)
                if in_the_way and is_alive and not known_ended:
                    return other
                is_its_last = is_new and other.name == name and not is_alive
                if in_the_way or known_ended or is_its_last:
                    ended.append(other)
            for other in ended:
                await session.delete(other)  # what it ran is open from now on
                if is_new and other.name == name and other.cordoned_at is not None:
                    host.cordoned_at = other.cordoned_at
            session.add(host)
            host.token, host.version = token, version("slipstream")
            host.labels, host.memory_bytes = dict(labels or {}), memory_bytes
            ends = seconds_from_now(LEASE_SECONDS)
            # Its own may last longer, until the first renewal: see `prolong`.
            host.lease_until = (
                ends if is_new else case((Host.lease_until > ends, Host.lease_until), else_=ends)
            )
            await session.flush()
            return HostLease(host_id=host.id, token=token)

    async def renew(self, lease: HostLease) -> int | None:
        """Let the lease go on from now; return how many other hosts live, None if it is lost."""
        return await self._end_in(lease, LEASE_SECONDS)

    async def prolong(self, lease: HostLease) -> None:
        """Let the lease last while the program of its owner is replaced and cannot renew it."""
        await self._end_in(lease, RELOAD_LEASE_SECONDS)

    async def release(self, lease: HostLease) -> None:
        """End the lease at once, if it is still held."""
        await self._end_in(lease, 0.0)

    async def all(self) -> Sequence[SeenHost]:
        """Return every host, oldest first."""
        statement = (
            select(Host, IS_ALIVE, func.count(Replica.id), func.sum(Replica.memory_bytes))
            .outerjoin(Replica, Replica.host_id == Host.id)
            .group_by(Host.id)
            .order_by(Host.created_at, Host.id)
        )
        async with self._db.read() as session:
            return [
                SeenHost(
                    row=row, is_alive=is_alive, replicas=count, used_memory_bytes=int(memory or 0)
                )
                for row, is_alive, count, memory in await session.execute(statement)
            ]

    async def ids(self, of: Callable[[str], bool]) -> frozenset[str]:
        """Return the ids of the hosts whose owner is `of` a kind."""
        async with self._db.read() as session:
            hosts = await session.execute(select(Host.id, Host.owner))
            return frozenset(host_id for host_id, owner in hosts if of(owner))

    async def counts(self) -> Mapping[str, int]:
        """Return how many hosts are `alive`, and how many `gone`."""
        statement = select(func.count(case((IS_ALIVE, 1))), func.count()).select_from(Host)
        async with self._db.read() as session:
            alive, all_hosts = (await session.execute(statement)).one()
        return {"alive": alive, "gone": all_hosts - alive}

    async def versions(self) -> Mapping[str, str]:
        """Return the version of the supervisor of each host that is alive, by the host's name."""
        statement = select(Host.name, Host.version).where(IS_ALIVE)
        async with self._db.read() as session:
            return {name: number or "" for name, number in await session.execute(statement)}

    async def cordon(self, host_id: str) -> Host | None:
        """Have a host take no more replicas, and move those that it has; return its row, if any."""
        return await self._set_cordoned(host_id, is_cordoned=True)

    async def uncordon(self, host_id: str) -> Host | None:
        """Have a host take replicas again; return its row, if any."""
        return await self._set_cordoned(host_id, is_cordoned=False)

    async def forget(self) -> None:
        """Delete the hosts that have joined and whose lease ended a while ago."""
        gone = Host.joined & (Host.lease_until < seconds_from_now(-_FORGET_SECONDS))
        async with self._db.read() as session:  # usually there are none: no lock is needed
            if not await session.scalar(select(func.count()).select_from(Host).where(gone)):
                return
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)
            await session.execute(delete(Host).where(gone))

    async def _set_cordoned(self, host_id: str, *, is_cordoned: bool) -> Host | None:
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)  # no host claims meanwhile
            host = await session.get(Host, host_id, with_for_update=True)
            if host is not None and (host.cordoned_at is not None) != is_cordoned:
                before = {"cordoned": host.cordoned_at is not None}
                host.cordoned_at = now() if is_cordoned else None
                await record_event(
                    session,
                    action="host.cordon" if is_cordoned else "host.uncordon",
                    target_kind=AuditTarget.HOST,
                    target_id=host.id,
                    target_name=host.name,
                    before=before,
                    after={"cordoned": is_cordoned},
                )
        return host

    async def _end_in(self, lease: HostLease, seconds: float) -> int | None:
        """Let the lease end in so many seconds; return how many other hosts live, or None."""
        other = aliased(Host)
        is_other = (other.id != lease.host_id) & (other.lease_until > seconds_from_now())
        changed = (
            update(Host)
            .where(Host.id == lease.host_id, Host.token == lease.token)
            .values(lease_until=seconds_from_now(seconds))
            .returning(select(func.count(other.id)).where(is_other).scalar_subquery())
        )
        async with self._db.write() as session:
            others: int | None = (await session.execute(changed)).scalar_one_or_none()
            return others
