"""The gateways and workers of an installation: which there are, and how they are.

Those of a host live as long as its lease: its supervisor writes them when they change, all in one
transaction, and renews nothing for them. A gateway or worker that runs alone renews a lease of its
own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import product
from time import monotonic

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.hosts import IS_ALIVE, HostLease
from gateway.fleet.service_process import ProcessKind, SeenProcess
from gateway.fleet.states import State
from gateway.ids import new_id
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, ServiceProcess
from telemetry.logs import logger

LEASE_SECONDS = 15.0
"""Of what runs alone, by the database's clock."""
GONE = "gone"
"""The state of what has no lease."""
_RENEW_SECONDS = LEASE_SECONDS / 3
_REPEAT_SECONDS = 60.0
"""Between two writes of what has a host, though nothing has changed: a database that was restored
has what was true before."""
_LOOK_SECONDS = 0.5
"""Between two looks at the processes."""
_STOP_SECONDS = 2.0
"""For the last write: a database that is frozen must not keep a process from its end. Closing its
connection takes as long again."""
_FORGET_SECONDS = 86_400.0
"""How long after its lease a process that ran alone is still listed."""
_VERSION = version("slipstream")

IS_PROCESS_ALIVE: ColumnElement[bool] = or_(
    and_(ServiceProcess.host_id.is_not(None), IS_ALIVE),
    ServiceProcess.lease_until > seconds_from_now(),
)
"""Its lease lasts, or that of its host."""

log = logger("gateway.fleet")


class ProcessStore:
    """The rows of gateways and workers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> Sequence[tuple[ServiceProcess, bool]]:
        """Return every process, and whether it is alive: by kind, machine and name."""
        statement = (
            select(ServiceProcess, IS_PROCESS_ALIVE)
            .outerjoin(Host, Host.id == ServiceProcess.host_id)
            .order_by(ServiceProcess.kind, ServiceProcess.host, ServiceProcess.name)
        )
        async with self._db.read() as session:
            return [(row, bool(is_alive)) for row, is_alive in await session.execute(statement)]

    async def counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many there are of each kind in each state, `GONE` included."""
        statement = (
            select(ServiceProcess.kind, ServiceProcess.state, IS_PROCESS_ALIVE, func.count())
            .outerjoin(Host, Host.id == ServiceProcess.host_id)
            .group_by(ServiceProcess.kind, ServiceProcess.state, IS_PROCESS_ALIVE)
        )
        found: dict[tuple[str, str], int] = dict.fromkeys(product(ProcessKind, [*State, GONE]), 0)
        async with self._db.read() as session:
            for kind, state, is_alive, count in await session.execute(statement):
                found[kind, state if is_alive else GONE] += count
        return found

    async def write(self, processes: Mapping[str, SeenProcess], lease: HostLease | None) -> None:
        """Write what is seen of processes, by their ids.

        These are all that the host with the `lease` has: the others of its rows are deleted. If
        another supervisor has taken the lease, nothing is written. Without one, the processes run
        alone, and live for `LEASE_SECONDS` from now.
        """
        ids = list(processes)
        these = select(ServiceProcess).where(ServiceProcess.id.in_(ids))
        async with self._db.write() as session:
            if lease is not None:
                if not await _holds(session, lease):
                    return
                of_host = ServiceProcess.host_id == lease.host_id
                missing = of_host & ServiceProcess.id.not_in(ids)
                await session.execute(delete(ServiceProcess).where(missing))
            rows = {row.id: row for row in (await session.execute(these)).scalars()}
            await _forget(session, [processes[it] for it in processes if it not in rows])
            for process_id, seen in processes.items():
                row = rows.get(process_id)
                if row is None:
                    row = ServiceProcess(id=process_id, host=socket.gethostname())
                    session.add(row)
                if row.pid != seen.pid:
                    row.started_at = seconds_from_now() if seen.pid else None
                row.kind, row.name, row.state = seen.kind, seen.name, seen.state
                row.reason, row.pid, row.address = seen.reason, seen.pid, seen.address
                row.concurrency, row.version = seen.concurrency, _VERSION
                if lease is None:
                    row.lease_until = seconds_from_now(LEASE_SECONDS)
                else:
                    row.host_id = lease.host_id

    async def remove(self, ids: Collection[str]) -> None:
        """Delete the rows of processes that have ended in good order."""
        async with self._db.write() as session:
            await session.execute(delete(ServiceProcess).where(ServiceProcess.id.in_(ids)))


async def _holds(session: AsyncSession, lease: HostLease) -> bool:
    """Whether the host has its lease. Until the end of the transaction it is not deleted."""
    held = select(Host.id).where(Host.id == lease.host_id, Host.token == lease.token)
    # FOR KEY SHARE: the renewal of the lease does not wait for it.
    held = held.with_for_update(read=True, key_share=True)
    return (await session.execute(held)).first() is not None


async def _forget(session: AsyncSession, started: Sequence[SeenProcess]) -> None:
    """Delete what ran alone and is back on this machine: what has `started` stands in for it.

    And what has been gone for a day, whenever something starts.
    """
    if not started:
        return
    for_long = ServiceProcess.lease_until < seconds_from_now(-_FORGET_SECONDS)
    await session.execute(delete(ServiceProcess).where(for_long))
    ended = select(ServiceProcess).where(
        ServiceProcess.lease_until < seconds_from_now(),
        ServiceProcess.host == socket.gethostname(),
    )
    back = {(seen.kind, seen.name, seen.address) for seen in started}
    for row in (await session.execute(ended)).scalars():
        if (row.kind, row.name, row.address) in back:
            await session.delete(row)


class ProcessAnnouncer:
    """Writes the rows of the processes that this one looks after."""

    def __init__(
        self,
        store: ProcessStore,
        look: Callable[[], Sequence[SeenProcess]],
        lease: HostLease | None = None,
    ) -> None:
        """Announce what `look` returns, as processes of a host, or as processes that run alone."""
        self._store = store
        self._look = look
        self._lease = lease
        self._ids: dict[tuple[ProcessKind, str], str] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Write them whenever they change, from now on."""
        self._task = asyncio.create_task(self._announce(), name="announcer")

    async def stop(self) -> None:
        """Write no more, and delete the rows: the processes end."""
        if self._task is None:
            return
        self._stopping.set()
        # A query is not cancelled half-way, unless the database is frozen: SQLAlchemy logs that.
        await asyncio.wait([self._task], timeout=_STOP_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            return
        with suppress(SQLAlchemyError, OSError):  # then they are listed as gone for a while
            async with asyncio.timeout(_STOP_SECONDS):
                await self._store.remove(self._ids.values())

    async def _announce(self) -> None:
        written: Mapping[str, SeenProcess] = {}
        written_at = monotonic()
        failing = False
        while not self._stopping.is_set():
            pause = _LOOK_SECONDS
            try:
                seen = {self._id_of(process): process for process in self._look()}
                renew_after = _RENEW_SECONDS if self._lease is None else _REPEAT_SECONDS
                if seen != written or monotonic() - written_at >= renew_after:
                    await self._store.write(seen, self._lease)
                    if self._lease is None and (ended := {*self._ids.values()} - seen.keys()):
                        await self._store.remove(ended)
                    self._ids = {key: it for key, it in self._ids.items() if it in seen}
                    written, written_at = seen, monotonic()
                failing = False
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                if not failing:
                    log_failure(log, "processes_not_announced", error)
                failing = True
                pause = _RENEW_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    def _id_of(self, process: SeenProcess) -> str:
        return self._ids.setdefault((process.kind, process.name), new_id())
