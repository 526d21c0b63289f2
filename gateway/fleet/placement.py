"""Which host runs a replica: each host claims open ones, up to its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from math import ceil
from time import monotonic

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.hosts import IS_ALIVE
from gateway.fleet.states import Desired, State
from gateway.fleet.store import Observed
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock
from gateway.storage.tables import Host, InferenceServer, Replica

PATIENCE_SECONDS = 3.0
"""How long a replica may be open until a host takes more than its share."""

Version = tuple[str, int]
"""A model version."""


class Placement:
    """The claims of one host. It stops what others have taken, see `Fleet`.

    Two hosts may run the same replica for a while: one that has lost the database goes on, and does
    not know that its lease has ended. Runs of a model have no side effects, so that is harmless.
    """

    def __init__(
        self,
        db: Database,
        host_id: str,
        *,
        has_model: Callable[[str, int], bool],
        may_take_over: Callable[[], bool],
    ) -> None:
        """Claim for `host_id`.

        Args:
            db: the database.
            host_id: of the host's row.
            has_model: whether the host's store has a version. One that it does not have is left to
                others, unless none takes it. Called in a thread, as it asks a disk.
            may_take_over: whether replicas of a host whose lease has ended may be taken. Not if our
                own lease was not renewed all the time: after the database was away, the leases of
                all have ended. Asked after the database has answered.
        """
        self._db = db
        self._host_id = host_id
        self._has_model = has_model
        self._may_take_over = may_take_over
        self._open_since: dict[str, float] = {}

    @property
    def has_open(self) -> bool:
        """Whether replicas were left open, as of the last `claim`: to be looked at again soon."""
        return bool(self._open_since)

    async def keep(self, replica_ids: Collection[str]) -> None:
        """Take replicas as they are: their processes are ours, from before a reload."""
        ours = Replica.id.in_(replica_ids) & Replica.host_id.is_(None)
        async with self._db.write() as session:
            await session.execute(update(Replica).where(ours).values(host_id=self._host_id))

    async def claim(self) -> None:
        """Take open replicas of servers that should run; record that the others are stopped.

        A replica is open without a host; and, if we may take over, where its host's lease has
        ended.
        """
        async with self._db.read() as session:  # usually nothing is open: no lock is needed
            due = await self._find(session)
        if not due:
            self._open_since = {}
            return
        versions = {(server.model, server.version) for _, server in due}
        here = await asyncio.to_thread(self._of_store, versions)
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)
            found = await self._find(session)
            servers = await _servers(session, lock=[server.id for _, server in found])
            alive = set((await session.execute(select(Host.id).where(IS_ALIVE))).scalars())
            open_ids = {replica.id for replica, _ in found}
            chosen = self._choose(servers, len(alive), open_ids, here)
            for server in servers:
                for replica in server.replicas:
                    if replica.id not in open_ids:
                        continue
                    if replica.id in chosen:
                        replica.host_id = self._host_id
                    elif server.desired == Desired.RUNNING:
                        continue
                    stopped = Observed(replica_id=replica.id, seen={"state": State.STOPPED})
                    stopped.apply(replica, server)
                    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)

    def _of_store(self, versions: Iterable[Version]) -> set[Version]:
        return {version for version in versions if self._has_model(*version)}

    async def _find(self, session: AsyncSession) -> Sequence[Row[Replica, InferenceServer]]:
        """Return the open replicas that should run, or are not recorded as stopped."""
        ended = select(Host.id).where(~IS_ALIVE, Host.id != self._host_id)
        is_open = Replica.host_id.is_(None) | Replica.host_id.in_(ended)
        is_due = (InferenceServer.desired == Desired.RUNNING) | (Replica.state != State.STOPPED)
        statement = (
            select(Replica, InferenceServer)
            .join(InferenceServer, InferenceServer.id == Replica.server_id)
            .where(is_open, is_due)
        )
        found = (await session.execute(statement)).all()
        may_take_over = self._may_take_over()
        return [row for row in found if row.Replica.host_id is None or may_take_over]

    def _choose(
        self,
        servers: Iterable[InferenceServer],
        hosts: int,
        open_ids: Collection[str],
        here: Collection[Version],
    ) -> set[str]:
        """Return the ids of the replicas to take, and note since when the others are open."""
        wanted = [server for server in servers if server.desired == Desired.RUNNING]
        hosts = max(1, hosts)
        share = ceil(sum(len(server.replicas) for server in wanted) / hosts)
        ours = Counter(
            server.id
            for server in wanted
            for replica in server.replicas
            if replica.host_id == self._host_id
        )
        now, left, chosen = monotonic(), {}, set()
        for server in wanted:
            for replica in server.replicas:
                if replica.id not in open_ids:
                    continue
                since = self._open_since.get(replica.id, now)
                is_ours = (
                    ours.total() < share
                    and ours[server.id] < ceil(len(server.replicas) / hosts)
                    and (server.model, server.version) in here
                )
                if is_ours or hosts == 1 or now - since >= PATIENCE_SECONDS:
                    chosen.add(replica.id)
                    ours[server.id] += 1
                else:
                    left[replica.id] = since
        self._open_since = left
        return chosen


async def _servers(session: AsyncSession, *, lock: Collection[str]) -> Sequence[InferenceServer]:
    """Return all servers; those with ids in `lock` are locked, in the order of `FleetStore`."""
    locked = (
        select(InferenceServer.id)
        .where(InferenceServer.id.in_(lock))
        .order_by(InferenceServer.id)
        .with_for_update()
    )
    await session.execute(locked)
    statement = select(InferenceServer).order_by(InferenceServer.created_at, InferenceServer.id)
    return (await session.execute(statement)).scalars().all()
