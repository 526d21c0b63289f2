"""Which host runs a replica: each host claims open ones, up to its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from fractions import Fraction
from math import ceil
from time import monotonic

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.hosts import IS_ALIVE
from gateway.fleet.labels import Labels, fits, format_labels
from gateway.fleet.states import Desired, State
from gateway.fleet.store import Observation, Observed
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

_MEBIBYTE = 1 << 20

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
            may_take_over: whether replicas of a host whose lease has ended may be taken. Not if our
                own lease was not renewed all the time: after the database was away, the leases of
                all have ended. Asked after the database has answered.
        """
        self._db = db
        self._host_id = host_id
        self._model_size = model_size
        self._labels = labels
        self._memory_bytes = memory_bytes
        self._assumed: dict[str, int] = {}
        """The memory of replicas that were taken, until it has been measured."""
        self._may_take_over = may_take_over
        self._open_since: dict[str, float] = {}
        self._withheld = False
        self._store_answer: asyncio.Task[dict[Version, int]] | None = None

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

        Give up one of a server that requires other labels now, if the others of it are ready.

        A replica is open without a host; and, if we may take over, where its host's lease has
        ended. Those in `skip` stay open: of them, a process that another host replaced still runs
        here. Returns whether anything was written.
        """
        async with self._db.read() as session:  # usually nothing is open: no lock is needed
            due = await self._find(session)
        if not due:
            self._open_since = {}
            return False
        sizes = await self._of_store({(server.model, server.version) for _, server in due})
        async with self._db.write() as session:
            await advisory_lock(session, Replica.__tablename__)
            await _lock_servers(session, {server.id for _, server in due})
            found = [row for row in await self._find(session) if row.Replica.id not in skip]
            self._withheld |= any(replica.id in skip for replica, _ in due)
            hosts = await _alive(session)
            chosen, reasons = self._choose(found, await _running(session), hosts, sizes)
            written = False
            for replica, server in found:
                if replica.host_id == self._host_id:
                    if not self._gives_up(replica, server, hosts):
                        continue
                    replica.host_id = None
                elif replica.id in chosen:
                    replica.host_id = self._host_id
                elif server.desired == Desired.RUNNING and (
                    replica.reason == reasons.get(replica.id, replica.reason)
                ):
                    continue
                seen: Observation = {"state": State.STOPPED, "reason": reasons.get(replica.id)}
                Observed(replica_id=replica.id, seen=seen).apply(replica, server)
                record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
                written = True
        return written

    def _gives_up(
        self, replica: Replica, server: InferenceServer, hosts: Mapping[str, Labels]
    ) -> bool:
        """Whether a replica of this host goes to one with the labels of its server now."""
        required = server.host_labels or {}
        if server.desired != Desired.RUNNING:
            return True
        others = [each for each in server.hosted if each is not replica]
        can_run = any(fits(labels, required) for labels in hosts.values())
        return can_run and all(other.state == State.READY for other in others)

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

    async def _find(self, session: AsyncSession) -> Sequence[Row[Replica, InferenceServer]]:
        """Return the open replicas that should run, or are not recorded as stopped."""
        ended = select(Host.id).where(~IS_ALIVE, Host.id != self._host_id)
        is_open = (Replica.host_id.is_(None) & Replica.lease_until.is_(None)) | Replica.host_id.in_(
            ended
        )
        is_due = (InferenceServer.desired == Desired.RUNNING) | (Replica.state != State.STOPPED)
        is_ours = (Replica.host_id == self._host_id) & InferenceServer.host_labels.is_not(None)
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
        own = (None, self._host_id)
        taken = [row for row in found if row.Replica.host_id in own or may_take_over]
        self._withheld = len(taken) < len(found)
        return taken

    def _is_due(self, replica: Replica, server: InferenceServer) -> bool:
        """Whether there is something to do for a replica that is open, or that this host has."""
        if replica.host_id == self._host_id:
            return not self._may_run(server)
        return self._may_run(server) or replica.reason != _no_host(server.host_labels or {})

    def _may_run(self, server: InferenceServer) -> bool:
        return fits(self._labels, server.host_labels or {})

    def _choose(
        self,
        found: Iterable[Row[Replica, InferenceServer]],
        running: Sequence[Row[str, str, str | None, int | None, Labels | None]],
        hosts: Mapping[str, Labels],
        sizes: Mapping[Version, int],
    ) -> tuple[set[str], dict[str, str | None]]:
        """Return the ids of the replicas to take, and note since when the others are open.

        Also returns the reasons of those that no host can take.

        Args:
            found: the open replicas, and those that this host is to give up.
            running: as `_running` returns them.
            hosts: the labels of those that live.
            sizes: the bytes of the models that the store has.
        """
        ours = [row for row in running if row.host_id == self._host_id]
        counts = Counter(row.server_id for row in ours)
        share = self._share(running, hosts)
        self._assumed = {
            row.id: self._assumed[row.id]
            for row in ours
            if row.id in self._assumed and row.memory_bytes is None
        }
        used = sum(row.memory_bytes or self._assumed.get(row.id, 0) for row in ours)
        now, left, chosen = monotonic(), {}, set()
        reasons: dict[str, str | None] = {}
        for replica, server in found:
            if replica.host_id == self._host_id or server.desired != Desired.RUNNING:
                continue
            required = server.host_labels or {}
            eligible = sum(fits(labels, required) for labels in hosts.values())
            if not self._may_run(server):
                if not eligible:
                    reasons[replica.id] = _no_host(required)
                continue
            since = self._open_since.get(replica.id, now)
            patience = now - since
            is_only = eligible <= 1
            version = (server.model, server.version)
            known = [each.memory_bytes for each in server.hosted if each.memory_bytes]
            needed = max([*known, sizes.get(version, 0)])
            has_room = counts[server.id] < ceil(server.replica_count / max(1, eligible))
            in_share = counts.total() < share and has_room
            waits = (0 if in_share else 1) if version in sizes else 2
            if used + needed > self._memory_bytes:
                left[replica.id] = since
                if is_only or patience >= 2 * PATIENCE_SECONDS:
                    reasons[replica.id] = _no_memory(needed)
            elif is_only or patience >= waits * PATIENCE_SECONDS:
                chosen.add(replica.id)
                counts[server.id] += 1
                used += needed
                self._assumed[replica.id] = needed
            else:
                left[replica.id] = since
        self._open_since = left
        return chosen, reasons

    def _share(
        self,
        running: Sequence[Row[str, str, str | None, int | None, Labels | None]],
        hosts: Mapping[str, Labels],
    ) -> int:
        """Return how many replicas are this host's part of those that it may run."""
        mine = [row for row in running if fits(self._labels, row.host_labels or {})]
        unlabelled = sum(not row.host_labels for row in mine)
        parts = Fraction(unlabelled, max(1, len(hosts)))
        for row in mine:
            if row.host_labels:
                eligible = sum(fits(labels, row.host_labels) for labels in hosts.values())
                parts += Fraction(1, max(1, eligible))
        return ceil(parts)


def _no_host(required: Labels) -> str:
    listed = format_labels(required)
    return f"no host has the labels that it requires, {listed}: see `slipstream hosts list`"


def _no_memory(needed: int) -> str:
    size = f"{needed / _MEBIBYTE:,.0f} MiB"
    return f"no host has the {size} of memory left that it needs: see `slipstream hosts list`"


async def _alive(session: AsyncSession) -> dict[str, Labels]:
    """Return the labels of the hosts that live."""
    found = await session.execute(select(Host.id, Host.labels).where(IS_ALIVE))
    return {host_id: labels or {} for host_id, labels in found}


async def _running(
    session: AsyncSession,
) -> Sequence[Row[str, str, str | None, int | None, Labels | None]]:
    """Return id, server, host, memory and required labels of all replicas that are to run.

    Columns, not objects: there may be thousands, and everything else waits meanwhile.
    """
    statement = (
        select(
            Replica.id,
            Replica.server_id,
            Replica.host_id,
            Replica.memory_bytes,
            InferenceServer.host_labels,
        )
        .join(InferenceServer, InferenceServer.id == Replica.server_id)
        .where(Replica.lease_until.is_(None), InferenceServer.desired == Desired.RUNNING)
    )
    return (await session.execute(statement)).all()


async def _lock_servers(session: AsyncSession, ids: Collection[str]) -> None:
    """Lock rows, in the order of `FleetStore`."""
    locked = (
        select(InferenceServer.id)
        .where(InferenceServer.id.in_(ids))
        .order_by(InferenceServer.id)
        .with_for_update()
    )
    await session.execute(locked)
