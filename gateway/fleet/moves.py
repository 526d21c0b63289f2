"""Moves of replicas between hosts: a successor boots first, then what it replaces is dropped.

The host that takes a replica does all of it, in rows: it makes a second replica that names the one
which it replaces, runs it, and deletes the other one when it is ready. So a move has no state but
the rows, and costs no call: the process before it runs on until gateways know, as any that leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence, Set
from time import monotonic

from sqlalchemy import CompoundSelect, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from gateway.fleet.hosts import IS_ALIVE
from gateway.fleet.spread import CROWDED, LiveHost, LiveHosts, Step, next_step
from gateway.fleet.states import Desired
from gateway.fleet.store import delete_replicas, free_slot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock
from gateway.storage.tables import Host, InferenceServer, Replica
from telemetry.logs import logger

MOVE_SECONDS = 5.0
"""How long hosts, and the replicas of a server, must have been as they are before one moves."""
RETRY_SECONDS = 300.0
"""After a successor that failed, until this host takes another one of its server."""
_AT_ONCE = 4
"""So many successors boot on a host at the same time: a host that joins is not to be swamped."""

log = logger("gateway.fleet.moves")

_Seen = tuple[Collection[str], Collection[tuple[str, str | None, str]]]
"""The hosts that live; each replica with its host and state."""


class Moves:
    """What one host does for moves. For one event loop."""

    def __init__(
        self,
        db: Database,
        host_id: str,
        *,
        sees_ends: Callable[[], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Move replicas to `host_id`; `sees_ends` is as `may_take_over` of `Placement`."""
        self._db = db
        self._host_id = host_id
        self._sees_ends = sees_ends
        self._clock = clock
        self._seen: dict[str, tuple[_Seen, float]] = {}
        """Of servers of which a replica is to move: how they are, and since when."""
        self._failed_at: dict[str, float] = {}
        """When a successor of a server was last given up here."""
        self._under_way = 0

    @property
    def has_some(self) -> bool:
        """Whether something is to move, as of the last `find`: to be looked at again soon."""
        return bool(self._seen)

    async def find(self, session: AsyncSession, hosts: LiveHosts) -> Sequence[InferenceServer]:
        """Return the servers for whose moves this host has something to do."""
        statement = (
            select(InferenceServer)
            .where(InferenceServer.id.in_(_concerned(self._host_id, hosts)))
            .order_by(InferenceServer.created_at, InferenceServer.id)
        )
        servers = (await session.execute(statement)).scalars().all()
        self._under_way = sum(
            each.host_id == self._host_id for server in servers for each in server.successors
        )
        found = [server for server in servers if self._step(server, hosts) is not None]
        now, before = self._clock(), self._seen
        self._seen = {}
        for server in found:
            seen = _seen(server, hosts)
            same, since = before.get(server.id, (seen, now))
            self._seen[server.id] = (seen, since if same == seen else now)
        return found

    async def make(
        self,
        found: Sequence[InferenceServer],
        hosts: LiveHosts,
        patience_of: Callable[[InferenceServer, Step], float | None],
    ) -> Set[str]:
        """Take the steps that are due; return the ids of the servers of which any was.

        At most one move begins: what it needs counts for the next one.

        `patience_of` says how long something is to be open to a move before this host takes it;
        None: it does not.
        """
        made: set[str] = set()
        may_begin = self._under_way < _AT_ONCE
        for server in found:
            step = self._step(server, hosts)
            if step is None or (step.kind == "begin" and not may_begin):
                continue
            if self._is_due(server, step, patience_of):
                made |= await self._take(server.id, step)
                may_begin &= step.kind != "begin"
        return made

    def _step(self, server: InferenceServer, hosts: LiveHosts) -> Step | None:
        return next_step(self._host_id, server, hosts, sees_ends=self._sees_ends())

    def _is_due(
        self,
        server: InferenceServer,
        step: Step,
        patience_of: Callable[[InferenceServer, Step], float | None],
    ) -> bool:
        if step.kind != "begin":
            return True
        now = self._clock()
        failed_at = self._failed_at.get(server.id)
        if failed_at is not None and now - failed_at < RETRY_SECONDS:
            return False
        patience = patience_of(server, step)
        if patience is None:
            return False
        _, since = self._seen[server.id]
        return now - since >= patience + (0.0 if step.is_forced else MOVE_SECONDS)

    async def _take(self, server_id: str, planned: Step) -> Set[str]:
        """Write a step, unless something has changed meanwhile."""
        locked = (
            select(InferenceServer)
            .where(InferenceServer.id == server_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)
            server = (await session.execute(locked)).scalar_one_or_none()
            if server is None or self._step(server, await live_hosts(session)) != planned:
                return set()
            replica = next(each for each in server.replicas if each.id == planned.replica_id)
            match planned.kind:
                case "begin":
                    server.replicas.append(
                        Replica(slot=free_slot(server), host_id=self._host_id, replaces=replica.id)
                    )
                case "end":
                    before = next(it for it in server.replicas if it.id == replica.replaces)
                    await delete_replicas(session, server, [before])
                    replica.replaces, replica.slot = None, before.slot
                    self._failed_at.pop(server.id, None)
                case "cancel":
                    await delete_replicas(session, server, [replica])
                    if replica.host_id == self._host_id and server.desired == Desired.RUNNING:
                        self._failed_at[server.id] = self._clock()
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        about = {"model": server.model, "version": server.version}
        log.info("replica_move", step=planned.kind, **about, host_id=self._host_id)
        return {server_id}


async def live_hosts(session: AsyncSession) -> LiveHosts:
    """Return the hosts whose lease lasts."""
    alive = select(Host.id, Host.labels, Host.cordoned_at.is_not(None)).where(IS_ALIVE)
    return {
        host_id: LiveHost(labels=labels or {}, is_cordoned=is_cordoned)
        for host_id, labels, is_cordoned in await session.execute(alive)
    }


def _concerned(host_id: str, hosts: LiveHosts) -> CompoundSelect[str]:
    """Return the ids of servers of which a replica moves, or may have to, to a host."""
    own = aliased(Replica)
    mine = select(func.count()).where(own.server_id == Replica.server_id, own.host_id == host_id)
    cordoned = [each for each, host in hosts.items() if host.is_cordoned]
    crowded = (
        select(Replica.server_id)
        .where(Replica.lease_until.is_(None), Replica.host_id.in_(hosts))
        .group_by(Replica.server_id, Replica.host_id)
        .having((func.count() >= mine.scalar_subquery() + CROWDED) | Replica.host_id.in_(cordoned))
    )
    return crowded.union(select(Replica.server_id).where(Replica.replaces.is_not(None)))


def _seen(server: InferenceServer, hosts: LiveHosts) -> _Seen:
    replicas = {(each.id, each.host_id, each.state) for each in server.replicas}
    return frozenset(hosts), frozenset(replicas)
