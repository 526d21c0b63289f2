"""Which host runs a replica: each host claims open ones, up to its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence, Set
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
from telemetry.logs import logger, reason_of

PATIENCE_SECONDS = 3.0
"""How long a replica may be open until a host takes more than its share; twice that, until one
takes it that does not have the model."""
_STORE_SECONDS = 5.0
"""How long to wait for the disk of the models: it may be another machine's."""

Version = tuple[str, int]
"""A model version."""

log = logger("gateway.fleet.placement")


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
                others, unless none takes it. Called in a thread, as it asks a disk; an OSError
                says that it does not.
            may_take_over: whether replicas of a host whose lease has ended may be taken. Not if our
                own lease was not renewed all the time: after the database was away, the leases of
                all have ended. Asked after the database has answered.
        """
        self._db = db
        self._host_id = host_id
        self._has_model = has_model
        self._may_take_over = may_take_over
        self._open_since: dict[str, float] = {}
        self._withheld = False
        self._store_answer: asyncio.Task[set[Version]] | None = None

    @property
    def has_open(self) -> bool:
        """Whether replicas were left open, as of the last `claim`: to be looked at again soon."""
        return self._withheld or bool(self._open_since)

    async def keep(self, replica_ids: Collection[str]) -> None:
        """Take replicas as they are: their processes are ours, from before a reload."""
        ours = Replica.id.in_(replica_ids) & Replica.host_id.is_(None)
        async with self._db.write() as session:
            await session.execute(update(Replica).where(ours).values(host_id=self._host_id))

    async def claim(self, *, skip: Collection[str] = ()) -> bool:
        """Take open replicas of servers that should run; record that the others are stopped.

        A replica is open without a host; and, if we may take over, where its host's lease has
        ended. Those in `skip` stay open: of them, a process that another host replaced still runs
        here. Returns whether anything was written.
        """
        async with self._db.read() as session:  # usually nothing is open: no lock is needed
            due = await self._find(session)
        if not due:
            self._open_since = {}
            return False
        here = await self._of_store({(server.model, server.version) for _, server in due})
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)
            servers = await _servers(session, lock={server.id for _, server in due})
            found = [row for row in await self._find(session) if row.Replica.id not in skip]
            self._withheld |= any(replica.id in skip for replica, _ in due)
            alive = set((await session.execute(select(Host.id).where(IS_ALIVE))).scalars())
            open_ids = {replica.id for replica, _ in found}
            chosen = self._choose(servers, len(alive), open_ids, here)
            written = False
            for server in servers:
                for replica in server.hosted:
                    if replica.id not in open_ids:
                        continue
                    if replica.id in chosen:
                        replica.host_id = self._host_id
                    elif server.desired == Desired.RUNNING:
                        continue
                    stopped = Observed(replica_id=replica.id, seen={"state": State.STOPPED})
                    stopped.apply(replica, server)
                    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
                    written = True
        return written

    async def _of_store(self, versions: Set[Version]) -> Set[Version]:
        """Return those of the versions that the store has, as far as it says so in time."""
        if self._store_answer is None:  # else a thread still waits for the disk
            asking = asyncio.to_thread(self._ask_store, versions)
            self._store_answer = asyncio.create_task(asking)
        done, _ = await asyncio.wait({self._store_answer}, timeout=_STORE_SECONDS)
        if not done:
            log.warning("model_store_silent", seconds=_STORE_SECONDS)
            return set()
        asked, self._store_answer = self._store_answer, None
        return versions & asked.result()

    def _ask_store(self, versions: Iterable[Version]) -> set[Version]:
        found = set()
        for model, version in versions:
            try:
                if self._has_model(model, version):
                    found.add((model, version))
            except Exception as error:  # noqa: BLE001 - whatever keeps a store from saying so
                reason = reason_of(error)
                log.warning("model_not_read", model=model, version=version, reason=reason)
        return found

    async def _find(self, session: AsyncSession) -> Sequence[Row[Replica, InferenceServer]]:
        """Return the open replicas that should run, or are not recorded as stopped."""
        ended = select(Host.id).where(~IS_ALIVE, Host.id != self._host_id)
        is_open = (Replica.host_id.is_(None) & Replica.lease_until.is_(None)) | Replica.host_id.in_(
            ended
        )
        is_due = (InferenceServer.desired == Desired.RUNNING) | (Replica.state != State.STOPPED)
        statement = (
            select(Replica, InferenceServer)
            .join(InferenceServer, InferenceServer.id == Replica.server_id)
            .where(is_open, is_due)
        )
        fresh = statement.execution_options(populate_existing=True)
        found = (await session.execute(fresh)).all()
        may_take_over = self._may_take_over()
        taken = [row for row in found if row.Replica.host_id is None or may_take_over]
        self._withheld = len(taken) < len(found)
        return taken

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
        share = ceil(sum(server.replica_count for server in wanted) / hosts)
        ours = Counter(
            server.id
            for server in wanted
            for replica in server.hosted
            if replica.host_id == self._host_id
        )
        now, left, chosen = monotonic(), {}, set()
        for server in wanted:
            for replica in server.hosted:
                if replica.id not in open_ids:
                    continue
                since = self._open_since.get(replica.id, now)
                fits = ours.total() < share and ours[server.id] < ceil(server.replica_count / hosts)
                is_here = (server.model, server.version) in here
                patience = (0 if fits else 1) if is_here else 2
                if hosts == 1 or now - since >= patience * PATIENCE_SECONDS:
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
    fresh = statement.execution_options(populate_existing=True)
    return (await session.execute(fresh)).scalars().all()
