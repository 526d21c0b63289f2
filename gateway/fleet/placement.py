"""Which host runs a replica: each host claims open ones, up to its share, and moves some to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.hosts import IS_ALIVE
from gateway.fleet.labels import Labels, fits, format_labels
from gateway.fleet.moves import Moves, live_hosts
from gateway.fleet.spread import LiveHost, LiveHosts, Step, may_add
from gateway.fleet.states import Desired, State
from gateway.fleet.store import Observation, Observed
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.sql import advisory_lock
from gateway.storage.tables import Host, InferenceServer, Replica
from telemetry.logs import logger, reason_of

PATIENCE_SECONDS = 3.0
"""How long a replica may be open until a host takes it that has more of its server than another
one; half of that, until one takes more than its share; twice that, until one takes it that does not
have the model."""
_STORE_SECONDS = 5.0
"""How long to wait for the disk of the models: it may be another machine's."""

_NO_MEMORY = "no host has the memory left that it needs: see `slipstream hosts list`"

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
        model_size: Callable[[str, int], int | None],
        may_take_over: Callable[[], bool],
        labels: Labels,
        memory_bytes: int,
        is_limited: bool,
    ) -> None:
        """Claim for `host_id`.

        Args:
            db: the database.
            host_id: of the host's row.
            model_size: the bytes of a version in the host's store; None: it has none. One that it
                does not have is left to others, unless none takes it. Called in a thread, as it
                asks a disk; an OSError says that it does not.
            labels: of the host: it takes replicas of servers that require none but these.
            memory_bytes: what the replicas of the host may use together.
            is_limited: whether a replica that needs more than is left of it is refused; else it is
                left to others, unless none takes it: the system may swap, or map files.
            may_take_over: whether replicas of a host whose lease has ended may be taken. Not if our
                own lease was not renewed all the time: after the database was away, the leases of
                all have ended. Asked after the database has answered.
        """
        self._db = db
        self._host_id = host_id
        self._model_size = model_size
        self._labels = labels
        self._memory_bytes = memory_bytes
        self._is_limited = is_limited
        self._assumed: dict[str, int] = {}
        """The memory of our replicas while it is not measured: estimated, or measured before."""
        self._sizes: dict[Version, int] = {}
        """The bytes of models of open replicas, as the store has said."""
        self._may_take_over = may_take_over
        self._moves = Moves(db, host_id, sees_ends=may_take_over)
        self._hosts: LiveHosts = {}
        """As of the last look."""
        self._open_since: dict[str, float] = {}
        self._withheld = False
        self._store_answer: asyncio.Task[dict[Version, int]] | None = None

    @property
    def has_open(self) -> bool:
        """Whether replicas were left open, as of the last `claim`: to be looked at again soon."""
        return self._withheld or bool(self._open_since) or self._moves.has_some

    async def keep(self, replica_ids: Collection[str]) -> None:
        """Take replicas as they are: their processes are ours, from before a reload."""
        ours = Replica.id.in_(replica_ids) & Replica.host_id.is_(None)
        async with self._db.write() as session:
            await session.execute(update(Replica).where(ours).values(host_id=self._host_id))

    async def claim(self, *, skip: Collection[str] = ()) -> Set[str]:
        """Take open replicas of servers that should run; record that the others are stopped.

        A replica is open without a host; and, if we may take over, where its host's lease has
        ended. Those in `skip` stay open: of them, a process that another host replaced still runs
        here. One of this host is given up if its server requires other labels now, and where the
        host is cordoned, if it does not answer. What answers moves, see `moves.py`. Returns the ids
        of the servers of which anything was written.
        """
        async with self._db.read() as session:  # usually there is nothing to write, and no lock
            self._hosts = await live_hosts(session)
            found = await self._find(session, skip)
            moving = await self._moves.find(session, self._hosts)
            running = await _running(session) if found or moving else []
        versions = {(server.model, server.version) for _, server in found}
        versions |= {(server.model, server.version) for server in moving}
        await self._ask_sizes(versions)
        written = await self._take(found, running, skip)
        return written | await self._moves.make(moving, self._hosts, self._patience_of(running))

    async def _take(
        self,
        found: Sequence[Row[Replica, InferenceServer]],
        running: Sequence[_Running],
        skip: Collection[str],
    ) -> Set[str]:
        """Do what is due for the replicas in `found`; return the ids of their servers."""
        if not found:
            self._open_since = {}
            return set()
        plan = self._plan(found, running)
        written = set()
        if plan.changes:
            async with self._db.write() as session:
                await advisory_lock(session, Replica.__tablename__)
                await _lock_servers(session, {server.id for _, server in found})
                self._hosts = await live_hosts(session)
                found = await self._find(session, skip)
                plan = self._plan(found, await _running(session))
                for replica, server in found:
                    if replica.id in plan.changes:
                        replica.host_id, reason = plan.changes[replica.id]
                        seen: Observation = {"state": State.STOPPED, "reason": reason}
                        Observed(replica_id=replica.id, seen=seen).apply(replica, server)
                        record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
                        written.add(server.id)
        self._open_since, self._assumed = plan.open_since, plan.assumed
        return written

    async def _ask_sizes(self, versions: Set[Version]) -> None:
        """Note the bytes of the versions that the store has, as far as it says so in time."""
        self._sizes = {
            version: size for version, size in self._sizes.items() if version in versions
        }
        unknown = versions - self._sizes.keys()
        if unknown:
            self._sizes |= await self._of_store(unknown)

    async def _of_store(self, versions: Set[Version]) -> Mapping[Version, int]:
        """Return the bytes of those that the store has, as far as it says so in time."""
        if self._store_answer is None:  # else a thread still waits for the disk
            asking = asyncio.to_thread(self._ask_store, versions)
            self._store_answer = asyncio.create_task(asking)
        done, _ = await asyncio.wait({self._store_answer}, timeout=_STORE_SECONDS)
        if not done:
            log.warning("model_store_silent", seconds=_STORE_SECONDS)
            return {}
        asked, self._store_answer = self._store_answer, None
        return asked.result()

    def _ask_store(self, versions: Iterable[Version]) -> dict[Version, int]:
        found = {}
        for model, version in versions:
            try:
                if (size := self._model_size(model, version)) is not None:
                    found[model, version] = size
            except Exception as error:  # noqa: BLE001 - whatever keeps a store from saying so
                reason = reason_of(error)
                log.warning("model_not_read", model=model, version=version, reason=reason)
        return found

    async def _find(
        self, session: AsyncSession, skip: Collection[str]
    ) -> Sequence[Row[Replica, InferenceServer]]:
        """Return open replicas that should run, or are not recorded as stopped.

        And those of this host that it may not run now.
        """
        ended = select(Host.id).where(~IS_ALIVE, Host.id != self._host_id)
        is_open = (Replica.host_id.is_(None) & Replica.lease_until.is_(None)) | Replica.host_id.in_(
            ended
        )
        is_due = (InferenceServer.desired == Desired.RUNNING) | (Replica.state != State.STOPPED)
        is_ours = Replica.host_id == self._host_id
        if not self._is_cordoned:
            is_ours &= InferenceServer.host_labels.is_not(None)
        statement = (
            select(Replica, InferenceServer)
            .join(InferenceServer, InferenceServer.id == Replica.server_id)
            .where((is_open & is_due) | is_ours)
            .order_by(InferenceServer.created_at, InferenceServer.id, Replica.slot)
        )
        fresh = statement.execution_options(populate_existing=True)
        rows = (await session.execute(fresh)).all()
        found = [row for row in rows if self._is_due(row.Replica, row.InferenceServer)]
        may_take_over = self._may_take_over()
        taken = [
            row
            for row in found
            if row.Replica.host_id == self._host_id
            or (row.Replica.id not in skip and (row.Replica.host_id is None or may_take_over))
        ]
        self._withheld = len(taken) < len(found)
        return taken

    def _is_due(self, replica: Replica, server: InferenceServer) -> bool:
        """Whether there may be something to do for a replica that is open, or of this host."""
        if replica in server.successors:
            return False  # it is no other host's
        if replica.host_id == self._host_id:
            return not self._may_run(server)
        is_explained = replica.state == State.STOPPED and replica.reason is not None
        return self._may_run(server) or not is_explained

    @property
    def _is_cordoned(self) -> bool:
        host = self._hosts.get(self._host_id)
        return host is not None and host.is_cordoned

    def _may_run(self, server: InferenceServer) -> bool:
        return LiveHost(labels=self._labels, is_cordoned=self._is_cordoned).may_run(server)

    def _plan(
        self, found: Iterable[Row[Replica, InferenceServer]], running: Sequence[_Running]
    ) -> _Plan:
        """Decide what is to be written of the replicas in `found`."""
        count = sum(row.host_id == self._host_id for row in running)
        placed = Counter((row.server_id, row.host_id) for row in running)
        share = self._share(running)
        assumed = self._memory(running)
        used = sum(assumed.values())
        now, open_since = monotonic(), {}
        changes: dict[str, tuple[str | None, str | None]] = {}
        moving: set[str] = set()
        for replica, server in found:
            eligible = [each for each, host in self._hosts.items() if host.may_run(server)]
            if replica.host_id == self._host_id:
                has_labels = fits(self._labels, server.host_labels or {})
                if server.id not in moving and _is_given_up(
                    replica, server, len(eligible), has_labels=has_labels
                ):
                    changes[replica.id] = None, None
                    if replica.state == State.READY:
                        moving.add(server.id)
                continue
            if server.desired != Desired.RUNNING:
                changes[replica.id] = None, None
                continue
            if not self._may_run(server):
                if not eligible:
                    changes[replica.id] = None, _no_host(server.host_labels or {}, self._hosts)
                continue
            since = self._open_since.get(replica.id, now)
            patience, is_only = now - since, len(eligible) <= 1
            needed = self._needs(server)
            has_memory = used + needed <= self._memory_bytes
            counts = {each: placed[server.id, each] for each in eligible}
            has_fewest = may_add(self._host_id, counts, eligible, server.replica_count)
            waits = self._patience(
                server, has_memory=has_memory, has_fewest=has_fewest, in_share=count < share
            )
            is_due = is_only or patience >= waits
            if is_due and (has_memory or not self._is_limited):
                changes[replica.id] = self._host_id, None
                count += 1
                placed[server.id, self._host_id] += 1
                used += needed
                assumed[replica.id] = needed
                continue
            open_since[replica.id] = since
            if is_due and (replica.state, replica.reason) != (State.STOPPED, _NO_MEMORY):
                changes[replica.id] = None, _NO_MEMORY
        return _Plan(changes=changes, open_since=open_since, assumed=assumed)

    def _patience(
        self, server: InferenceServer, *, has_memory: bool, has_fewest: bool, in_share: bool
    ) -> float:
        """Return how long others have the time to take a replica before this host does."""
        if not has_memory or (server.model, server.version) not in self._sizes:
            return 2 * PATIENCE_SECONDS
        if not has_fewest:
            return PATIENCE_SECONDS
        return 0.0 if in_share else PATIENCE_SECONDS / 2

    def _patience_of(
        self, running: Sequence[_Running]
    ) -> Callable[[InferenceServer, Step], float | None]:
        """Return what says how long this host waits before it moves a replica to itself.

        None: not at all. It has to fit, unless its host is cordoned and memory is no limit.
        """

        def patience_of(server: InferenceServer, step: Step) -> float | None:
            used = sum(self._memory(running).values())
            has_memory = used + self._needs(server) <= self._memory_bytes
            is_known = (server.model, server.version) in self._sizes
            if not (has_memory and is_known) and (not step.is_forced or self._is_limited):
                return None
            count = sum(row.host_id == self._host_id for row in running)
            return self._patience(
                server,
                has_memory=has_memory,
                has_fewest=step.has_fewest,
                in_share=count < self._share(running),
            )

        return patience_of

    def _memory(self, running: Sequence[_Running]) -> dict[str, int]:
        """Return what each replica of this host uses, as far as it is known."""
        return {
            row.id: row.memory_bytes or self._assumed.get(row.id, 0)
            for row in running
            if row.host_id == self._host_id
        }

    def _needs(self, server: InferenceServer) -> int:
        """Return the bytes that another replica of a server is expected to use."""
        known = [each.memory_bytes for each in server.hosted if each.memory_bytes]
        return max([*known, self._sizes.get((server.model, server.version), 0)])

    def _share(self, running: Sequence[_Running]) -> int:
        """Return how many replicas are this host's part of those that it may run."""
        takers = [host.labels for host in self._hosts.values() if not host.is_cordoned]
        mine = [row for row in running if fits(self._labels, row.host_labels or {})]
        unlabelled = sum(not row.host_labels for row in mine)
        parts = Fraction(unlabelled, max(1, len(takers)))
        for row in mine:
            if row.host_labels:
                eligible = sum(fits(each, row.host_labels) for each in takers)
                parts += Fraction(1, max(1, eligible))
        return ceil(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be written, and what is remembered then."""

    changes: Mapping[str, tuple[str | None, str | None]]
    """Replica → its host from now on, if any, and why it has none. It is recorded as stopped."""
    open_since: dict[str, float]
    assumed: dict[str, int]


class _Running(NamedTuple):
    """A replica that is to run."""

    id: str
    server_id: str
    host_id: str | None
    memory_bytes: int | None
    host_labels: Labels | None


async def _running(session: AsyncSession) -> Sequence[_Running]:
    # Columns, not objects: there may be thousands, and everything else waits meanwhile.
    columns = (Replica.id, Replica.server_id, Replica.host_id, Replica.memory_bytes)
    running = (
        select(*columns, InferenceServer.host_labels)
        .join(InferenceServer, InferenceServer.id == Replica.server_id)
        .where(Replica.lease_until.is_(None), InferenceServer.desired == Desired.RUNNING)
    )
    return [_Running(*row) for row in await session.execute(running)]


def _is_given_up(
    replica: Replica, server: InferenceServer, eligible: int, *, has_labels: bool
) -> bool:
    """Whether a replica goes from a host that may not run it to one that may, without a successor.

    From one without the required labels, one that answers calls goes when the others do, so that
    they move one after the other. From one that is cordoned, only what does not answer goes so.
    """
    if has_labels:
        return server.desired == Desired.RUNNING and replica.state != State.READY and eligible > 0
    if server.desired != Desired.RUNNING:
        return True
    others = [each for each in server.hosted if each is not replica]
    is_spare = replica.state != State.READY or all(each.state == State.READY for each in others)
    return eligible > 0 and is_spare


def _no_host(required: Labels, hosts: LiveHosts) -> str:
    if any(fits(host.labels, required) for host in hosts.values()):
        return "every host that could run it is cordoned: see `slipstream hosts list`"
    listed = format_labels(required)
    return f"no host has the labels that it requires, {listed}: see `slipstream hosts list`"


async def _lock_servers(session: AsyncSession, ids: Collection[str]) -> None:
    """Lock rows, in the order of `FleetStore`."""
    locked = (
        select(InferenceServer.id)
        .where(InferenceServer.id.in_(ids))
        .order_by(InferenceServer.id)
        .with_for_update()
    )
    await session.execute(locked)
