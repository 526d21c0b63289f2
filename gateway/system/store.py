"""What the database says of processes, queues and inference servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from time import perf_counter

from sqlalchemy import case, func, select

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.fleet.hosts import LEASE_SECONDS as HOST_LEASE_SECONDS
from gateway.fleet.processes import GONE, IS_PROCESS_ALIVE, LEASE_SECONDS
from gateway.fleet.service_process import ProcessKind
from gateway.fleet.states import Desired, State
from gateway.runs.run import RunStatus
from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from gateway.storage.sql import seconds_from_now, sql_literal
from gateway.storage.tables import CLOSEST, Host, InferenceServer, Replica, ServiceProcess
from gateway.system.state import ProcessState, QueueState, ServersState, ServerState

_MAX_PROCESSES = 1_000
_MAX_WAITING = 50
_WORKER = "worker-"
"""How the owners of leases on runs begin that are workers, see `execution/lease_owner.py`."""


class SystemStore:
    """Reads; each method is one transaction of a few queries."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def answer_seconds(self) -> float:
        """Return how long the database takes for a small question."""
        began = perf_counter()
        async with self._db.read() as session:
            await session.execute(select(1))
        return perf_counter() - began

    async def processes(self) -> Sequence[ProcessState]:
        """Return the gateways and workers, by kind, machine and name."""
        statement = (
            select(ServiceProcess, Host.lease_until, IS_PROCESS_ALIVE, seconds_from_now())
            .outerjoin(Host, Host.id == ServiceProcess.host_id)
            .order_by(ServiceProcess.kind, ServiceProcess.host, ServiceProcess.name)
            .limit(_MAX_PROCESSES)
        )
        async with self._db.read() as session:
            return [
                _process(row, host_lease, is_alive=bool(is_alive), now=now)
                for row, host_lease, is_alive, now in await session.execute(statement)
            ]

    async def busy(self) -> Mapping[str, int]:
        """Return how many runs the workers of each machine execute."""
        statement = (
            select(RunRow.lease_owner, func.count())
            .where(RunRow.status == sql_literal(RunStatus.RUNNING))
            .group_by(RunRow.lease_owner)
            .limit(_MAX_PROCESSES)
        )
        busy = Counter[str]()
        async with self._db.read() as session:
            for owner, count in await session.execute(statement):
                if owner is not None and owner.startswith(_WORKER):
                    busy[owner.partition("@")[2].partition("/")[0]] += count
        return busy

    async def queues(self) -> Sequence[QueueState]:
        """Return how many runs wait where, and for how long."""
        statement = (
            select(RunRow.type, RunRow.mode, func.count(), func.min(RunRow.created_at))
            .where(RunRow.status == sql_literal(RunStatus.QUEUED))
            .group_by(RunRow.type, RunRow.mode)
        )
        depths, oldest = Counter[str](), dict[str, datetime]()
        async with self._db.read() as session:
            now = (await session.execute(select(seconds_from_now()))).scalar_one()
            for kind, mode, count, first in await session.execute(statement):
                name = _queue(kind, mode)
                depths[name] += count
                oldest[name] = min(first, oldest.get(name, first))
        return [
            QueueState(
                name=name,
                depth=depths[name],
                oldest_seconds=max(0.0, (now - oldest[name]).total_seconds())
                if name in oldest
                else None,
            )
            for name in ("sync", "async", "gateway")
        ]

    async def servers(self) -> ServersState:
        """Return how the inference servers are."""
        memory = select(func.sum(Replica.memory_bytes))
        counts = select(_LEADS.c.desired, _LEADS.c.place, func.count()).group_by(
            _LEADS.c.desired, _LEADS.c.place
        )
        lacking = (
            select(InferenceServer)
            .join(_LEADS, _LEADS.c.id == InferenceServer.id)
            .where(_LEADS.c.desired == Desired.RUNNING, _LEADS.c.place != _READY)
            .order_by(InferenceServer.model, InferenceServer.version)
            .limit(_MAX_WAITING)
        )
        by_state = Counter[str]()
        async with self._db.read() as session:
            for desired, place, count in await session.execute(counts):
                by_state[desired if desired == Desired.ASLEEP else CLOSEST[place]] += count
            waiting = [
                ServerState(
                    id=server.id,
                    model=server.model,
                    version=server.version,
                    state=server.state,
                    reason=server.reason,
                )
                for server in (await session.execute(lacking)).scalars()
            ]
            used = (await session.execute(memory)).scalar()
        return ServersState(by_state=by_state, memory_bytes=int(used or 0), waiting=waiting)


_PLACES = {state: place for place, state in enumerate(CLOSEST)}
_READY = _PLACES[State.READY]
_LEADS = (
    select(
        InferenceServer.id,
        InferenceServer.desired,
        func.coalesce(func.min(case(_PLACES, value=Replica.state)), _PLACES[State.STOPPED]).label(
            "place"
        ),
    )
    .outerjoin(Replica, Replica.server_id == InferenceServer.id)
    .group_by(InferenceServer.id, InferenceServer.desired)
    .subquery()
)
"""The place in CLOSEST of each server's state, which is that of `InferenceServer.lead`."""


def _process(
    row: ServiceProcess, host_lease: datetime | None, *, is_alive: bool, now: datetime
) -> ProcessState:
    lease, seconds = row.lease_until, LEASE_SECONDS
    if host_lease is not None:
        lease, seconds = host_lease, HOST_LEASE_SECONDS
    age = None if lease is None else seconds - (lease - now).total_seconds()
    return ProcessState(
        id=row.id,
        kind=ProcessKind(row.kind),
        name=row.name,
        host=row.host,
        state=row.state if is_alive else GONE,
        reason=row.reason,
        version=row.version,
        slots=row.concurrency,
        heartbeat_age_seconds=None if age is None else max(0.0, age),
    )


def _queue(kind: str, mode: str) -> str:
    if kind == DeploymentType.SERVER:
        return "gateway"
    return "sync" if mode == ExecutionMode.SYNC else "async"
