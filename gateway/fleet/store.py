"""Rows of inference servers and replicas: users write the former, hosts the latter.

Those of processes that register themselves are in `registrations.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser, load_model_user
from gateway.errors import GatewayError
from gateway.fleet.audit_events import desired_fields, record_server
from gateway.fleet.deployed_servers import lock_servers
from gateway.fleet.hosts import IS_ALIVE
from gateway.fleet.spread import surplus
from gateway.fleet.states import Batching, Desired, NeededBy, Phase, State, check_transition
from gateway.ids import is_id
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, InferenceServer, Model, Replica
from protos.errors import ErrorCode

_UNPUBLISHED = {"memory_bytes"}
"""Columns that change too often, and matter too little, for an entry in the change feed."""

_BOOTS = 20
"""Of a server, whose durations are kept: the next one is expected to be like them."""

_NO_PROCESS = dict.fromkeys(("pid", "address", "tcp_address", "metrics_address"))
"""The columns of a replica without a process."""


class Observation(TypedDict, total=False):
    """What was observed of a replica; omitted keys stay as they are."""

    state: State
    phase: Phase | None
    pid: int | None
    address: str | None
    """Of its gRPC service, such as `unix:/run/iris-3.sock`."""
    tcp_address: str | None
    """The same for other machines: `host:port`, or `grpcs://host:port` with TLS."""
    metrics_address: str | None
    """Of its /metrics: `host:port`, or `https://host:port`."""
    restarts: int
    memory_bytes: int | None
    reason: str | None
    boot_seconds: float | None
    crashed_call: str | None
    """The id of the call whose run has ended its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Something was observed of a replica, see `FleetStore.observe`."""

    replica_id: str
    seen: Observation

    def apply(self, replica: Replica, server: InferenceServer) -> bool:
        """Write it into the rows; return whether other processes must hear of it."""
        boot_seconds = self.seen.get("boot_seconds")
        if boot_seconds is not None and self.seen.get("state") is State.READY:
            note_boot(server, boot_seconds)
        return bool(_apply(replica, self.seen) - _UNPUBLISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FellAsleep:
    """A replica's process has exited because it was idle, see `FleetStore.mark_asleep`."""

    replica_id: str
    generation: int

    def apply(self, replica: Replica, server: InferenceServer) -> bool:
        """Write it into the rows; return whether other processes must hear of it."""
        changed = _apply(replica, {"state": State.STOPPED, "reason": None})
        if server.desired == Desired.RUNNING and server.generation == self.generation:
            if len(server.replicas) - len(server.successors) == 1:
                changed |= _assign(server, {"desired": Desired.ASLEEP})
            else:  # it was started when it was the only one: several sleep together
                changed |= _assign(server, {"generation": server.generation + 1})
        return bool(changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How many calls a replica has had of late: what `scaling.py` decides by.

    Attributes:
        load: the average number of calls that waited or ran in it.
        quiet_seconds: since when it has had none; None: it has.
    """

    replica_id: str
    load: float
    quiet_seconds: float | None

    def apply(self, replica: Replica, at: datetime) -> None:
        """Write it into the row, as of `at` by the database's clock. It is no news for others."""
        quiet = self.quiet_seconds
        replica.load = self.load
        replica.idle_since = None if quiet is None else at - timedelta(seconds=quiet)


Event = Observed | FellAsleep | Measured
"""What a host writes of a replica that it runs."""


class ServerSettings(TypedDict, total=False):
    """The settings of a server; omitted keys stay as they are."""

    idle_timeout_seconds: int | None
    """Seconds without a call after which it sleeps; None: never. That of a server with one replica,
    whose number stays, applies from the next start."""
    replicas: int
    """How many processes run it: the number stays."""
    replica_range: tuple[int, int] | None
    """The least and the greatest number of processes, between which it follows their load; None: it
    stays as it is."""
    target_queue: float
    """How many calls are to wait or run in each of them then, on average."""
    host_labels: dict[str, str]
    """The labels that a host must have to run one."""
    batching: Batching
    """Which calls share runs. Applies from the next start of each process."""
    max_run_seconds: float | None
    """How long a run may take; None: derived. Applies from the next start of each process."""


class FleetStore:
    """The inference servers of an installation; each call is one transaction.

    Every write of what gateways and hosts keep in memory adds an entry to the change feed, as
    ChangeKind.INFERENCE_SERVER: see `ServerRows`, which reads no row without one.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> list[InferenceServer]:
        """Return every server, oldest first."""
        async with self._db.read() as session:
            statement = select(InferenceServer).order_by(
                InferenceServer.created_at, InferenceServer.id
            )
            return list((await session.execute(statement)).scalars())

    async def is_managed_by(self, profile_id: str, model: str) -> bool:
        """Whether a user manages a model, and so is told why it has failed to load."""
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            return user.may_manage(await session.get(Model, model))

    async def desired_running(self) -> list[InferenceServer]:
        """Return the servers whose desired state is running, oldest first.

        One that failed is to be started again if its `generation` has risen since.
        """
        return [server for server in await self.all() if server.desired == Desired.RUNNING]

    async def running_or_asleep(self) -> list[InferenceServer]:
        """Return the servers that answer calls or wake for them: all but the stopped."""
        return [server for server in await self.all() if server.desired != Desired.STOPPED]

    async def with_models(
        self, chosen: Collection[str] | None = None
    ) -> list[tuple[InferenceServer, Model | None]]:
        """Return servers, oldest first, each with the row of its model.

        Of those `chosen` by their ids, or by the names of their models; None: all.
        """
        joined = (
            select(InferenceServer, Model)
            .outerjoin(Model, Model.name == InferenceServer.model)
            .order_by(InferenceServer.created_at, InferenceServer.id)
        )
        if chosen is not None:
            joined = joined.where(
                InferenceServer.id.in_(chosen) | InferenceServer.model.in_(chosen)
            )
        async with self._db.read() as session:
            return [(server, model) for server, model in await session.execute(joined)]

    async def has_hosts(self) -> bool:
        """Whether a host runs, which starts inference servers."""
        async with self._db.read() as session:
            return (
                await session.execute(select(Host.id).where(IS_ALIVE).limit(1))
            ).first() is not None

    async def page(self, user: ModelUser, request: PageRequest) -> Page[InferenceServer]:
        """Return a page of the servers whose models a user may use, newest first."""
        statement = select(InferenceServer).where(InferenceServer.model.not_in(user.hidden_names()))
        async with self._db.read() as session:
            return await fetch_page(session, statement, InferenceServer, request)

    async def get(self, server_id: str) -> InferenceServer:
        """Return one server, or raise NOT_FOUND."""
        async with self._db.read() as session:
            return await _find(session, server_id)

    async def ensure_running(
        self,
        model: str,
        version: int,
        *,
        flow_id: str | None = None,
        at_least: int = 0,
        by: NeededBy = NeededBy.PERSON,
        **settings: Unpack[ServerSettings],
    ) -> InferenceServer:
        """Set the desired state of a version's server to running; create the row if needed.

        If it has fewer than `at_least` replicas, hosts run more, within its range.
        """
        try:
            async with self._db.write() as session:
                return await _ensure_running(
                    session, model, version, flow_id, settings, at_least=at_least, by=by
                )
        except IntegrityError:  # another process has inserted the row meanwhile
            return await self.ensure_running(
                model, version, flow_id=flow_id, at_least=at_least, by=by, **settings
            )

    async def change(self, server_id: str, **settings: Unpack[ServerSettings]) -> InferenceServer:
        """Change the settings of a server."""
        async with self._db.write() as session:
            server = await _find(session, server_id, lock=True)
            before = desired_fields(server)
            needed = _note_need(server, NeededBy.PERSON)
            if await _set(session, server, settings) or needed:
                await record_server(
                    session, "update", server, before=before, after=desired_fields(server)
                )
                record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        return server

    async def start(self, server_id: str) -> InferenceServer:
        """Set the desired state to running; start one that failed again."""
        return await self._set_desired(server_id, Desired.RUNNING)

    async def stop(self, server_id: str) -> InferenceServer:
        """Set the desired state to stopped: the server drains and exits."""
        return await self._set_desired(server_id, Desired.STOPPED)

    async def wake(self, model: str, version: int) -> bool:
        """Set a sleeping server to running; return False if it is not asleep."""
        async with self._db.write() as session:
            server = await find_by_model(session, model, version, lock=True)
            if server is None or server.desired != Desired.ASLEEP:
                return False
            server.desired = Desired.RUNNING
            server.generation += 1
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        return True

    async def mark_asleep(self, replica_id: str, generation: int) -> bool:
        """Record that a replica's process has exited because it was idle.

        The next call wakes its server, unless that has been stopped or started again since the
        start that `generation` numbers. Return False if the row has been deleted.
        """
        return await self.record([FellAsleep(replica_id=replica_id, generation=generation)]) == 1

    async def delete(self, server_id: str) -> None:
        """Delete the row; the supervisor then stops the processes."""
        async with self._db.write() as session:
            await _delete(session, await _find(session, server_id, lock=True))

    async def observe(self, replica_id: str, **seen: Unpack[Observation]) -> bool:
        """Record what was observed of a replica; return False if its row has been deleted.

        A boot or a respawn sets `started_at` and clears the columns of the previous process, unless
        `seen` has them; becoming ready sets `ready_at`.

        Raises:
            ValueError: the state cannot follow the current one.
        """
        return await self.record([Observed(replica_id=replica_id, seen=seen)]) == 1

    async def record(self, events: Sequence[Event], *, host_id: str | None = None) -> int:
        """Record events, in order, in one transaction; return how many have a row of the host.

        A host that has lost a replica to another one no longer writes its row.

        Raises:
            ValueError: a state cannot follow the one before. Nothing is written then.
        """
        observed = Replica.id.in_({event.replica_id for event in events})
        servers = (
            select(InferenceServer)
            .where(InferenceServer.id.in_(select(Replica.server_id).where(observed)))
            .order_by(InferenceServer.id)  # `start_missing` locks so
            .with_for_update()
        )
        found = 0
        async with self._db.write() as session:
            at = (await session.execute(select(seconds_from_now()))).scalar_one()
            rows = {
                replica.id: (replica, server)
                for server in (await session.execute(servers)).scalars()
                for replica in server.replicas
                if replica.host_id == host_id
            }
            for event in events:
                if event.replica_id not in rows:
                    continue
                found += 1
                replica, server = rows[event.replica_id]
                if isinstance(event, Measured):
                    event.apply(replica, at)
                elif event.apply(replica, server):
                    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
                if replica.state == State.STOPPED and server.desired != Desired.RUNNING:
                    replica.host_id = None  # the next start goes where there is room then
        return found

    async def _set_desired(self, server_id: str, desired: Desired) -> InferenceServer:
        async with self._db.write() as session:
            server = await _find(session, server_id, lock=True)
            again = desired is Desired.RUNNING and _has_failed(server)
            if desired is Desired.RUNNING and _note_need(server, NeededBy.PERSON):
                record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
            if server.desired != desired or again:
                before = desired_fields(server)
                server.desired = desired
                _forget_reasons(server)
                server.generation += desired is Desired.RUNNING
                verb = "start" if desired is Desired.RUNNING else "stop"
                await record_server(
                    session, verb, server, before=before, after=desired_fields(server)
                )
                record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        return server


def note_boot(server: InferenceServer, seconds: float) -> None:
    """Write how long a process took to become ready, in place of the oldest of the last boots."""
    server.boots = [*(server.boots or ()), seconds][-_BOOTS:]


def unknown_server(server_id: str) -> GatewayError:
    """Return the error for an id that no server has."""
    return GatewayError(ErrorCode.NOT_FOUND, f"unknown inference server '{server_id}'")


async def start_missing(
    session: AsyncSession,
    models: Iterable[tuple[str, int]],
    *,
    flow_id: str,
    also_stopped: bool = False,
) -> None:
    """Start, in the caller's transaction, a server for each model version that has no process.

    One that exists stays as it is: one that is asleep wakes with the next call, and one that a user
    has stopped stays stopped; with `also_stopped` it is started, and so is one that failed.
    """
    wanted = set(models)
    found = await lock_servers(session, wanted)
    by = NeededBy.DEPLOYMENT
    for server in found:
        if also_stopped and (server.desired == Desired.STOPPED or _has_failed(server)):
            await _ensure_running(
                session, server.model, server.version, flow_id, {}, at_least=0, by=by
            )
        elif server.desired != Desired.STOPPED and _note_need(server, by):
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        if not server.replicas and server.desired == Desired.RUNNING:
            # All that ran it had registered themselves, and are gone.
            await _set(session, server, {"replicas": 1})
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
    for model, version in sorted(wanted - {(server.model, server.version) for server in found}):
        if await find_by_model(session, model, version, lock=True) is None:
            with suppress(IntegrityError):  # another process has inserted the row meanwhile
                async with session.begin_nested():
                    await insert_server(session, model, version, flow_id, {}, by=by)


async def delete_stopped(session: AsyncSession, model: str, version: int) -> None:
    """Delete, in the caller's transaction, the stopped server of a version that was removed."""
    server = await find_by_model(session, model, version, lock=True)
    if server is not None and server.desired == Desired.STOPPED:
        await _delete(session, server)


async def _delete(session: AsyncSession, server: InferenceServer) -> None:
    await session.delete(server)
    await record_server(session, "delete", server, before=desired_fields(server))
    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)


async def _find(session: AsyncSession, server_id: str, *, lock: bool = False) -> InferenceServer:
    server = None
    if is_id(server_id):
        server = await session.get(InferenceServer, server_id.lower(), with_for_update=lock)
    if server is None:
        raise unknown_server(server_id)
    return server


async def _ensure_running(
    session: AsyncSession,
    model: str,
    version: int,
    flow_id: str | None,
    settings: ServerSettings,
    *,
    at_least: int,
    by: NeededBy,
) -> InferenceServer:
    server = await find_by_model(session, model, version, lock=True)
    if server is None:
        return await insert_server(
            session, model, version, flow_id, settings, at_least=at_least, by=by
        )
    before = desired_fields(server)
    needed = _note_need(server, by)
    if not server.replicas:  # all that ran it had registered themselves, and are gone
        settings = {"replicas": 1, **settings}
    changed = await _set(session, server, settings)
    changed = await _raise_count(session, server, at_least) or changed or needed
    if server.desired != Desired.RUNNING or _has_failed(server):
        server.desired = Desired.RUNNING
        server.generation += 1
    elif not changed:
        return server
    verb = "start" if server.generation != before["generation"] else "update"
    await record_server(session, verb, server, before=before, after=desired_fields(server))
    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
    return server


async def insert_server(
    session: AsyncSession,
    model: str,
    version: int,
    flow_id: str | None,
    settings: ServerSettings,
    *,
    at_least: int = 0,
    by: NeededBy = NeededBy.PERSON,
) -> InferenceServer:
    """Add, in the caller's transaction, a server that is to run; IntegrityError if there is one.

    What `settings` does not say is as for the version before, which it may be about to replace.
    """
    server = InferenceServer(
        model=model, version=version, flow_id=flow_id, needed_by=by, replicas=[]
    )
    given = "replicas" in settings or settings.get("replica_range") is not None
    before = await _find_before(session, model, version)
    if before is not None:
        server.idle_timeout_seconds = before.idle_timeout_seconds
        server.host_labels = before.host_labels
        server.target_queue = before.target_queue
        server.batching = before.batching
        server.max_run_seconds = before.max_run_seconds
    if before is not None and before.replica_count and not given:
        server.min_replicas, server.max_replicas = before.min_replicas, before.max_replicas
        await set_count(session, server, before.replica_count)
    await _set(session, server, settings)
    if not server.replicas and not given:
        await set_count(session, server, 1)
    await _raise_count(session, server, at_least)
    session.add(server)
    await session.flush()
    await record_server(session, "create", server, after=desired_fields(server))
    record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
    return server


async def _find_before(session: AsyncSession, model: str, version: int) -> InferenceServer | None:
    """Return the server of the last version before that one which has any."""
    statement = (
        select(InferenceServer)
        .where(InferenceServer.model == model, InferenceServer.version < version)
        .order_by(InferenceServer.version.desc())
        .limit(1)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def find_by_model(
    session: AsyncSession, model: str, version: int, *, lock: bool = False
) -> InferenceServer | None:
    """Return the server of a model version, or None."""
    statement = select(InferenceServer).where(
        InferenceServer.model == model, InferenceServer.version == version
    )
    if lock:
        statement = statement.with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()


def _note_need(server: InferenceServer, by: NeededBy) -> bool:
    """Write why a server is to run from now on; return whether that has changed."""
    is_new = by is NeededBy.PERSON or server.desired == Desired.STOPPED
    if not is_new and server.needed_by != NeededBy.NOTHING:
        return False
    return bool(_assign(server, {"needed_by": by}))


def _has_failed(server: InferenceServer) -> bool:
    return any(replica.state == State.FAILED for replica in server.replicas)


async def _set(session: AsyncSession, server: InferenceServer, settings: ServerSettings) -> bool:
    """Write settings into the row, and make or delete replicas; return whether any has changed."""
    columns: dict[str, object] = {
        name: value for name, value in settings.items() if name not in {"replicas", "replica_range"}
    }
    wanted = server.replica_count
    if "replicas" in settings:
        wanted = settings["replicas"]
    if settings.keys() & {"replicas", "replica_range"}:
        low, high = settings.get("replica_range") or (None, None)
        columns |= {"min_replicas": low, "max_replicas": high}
        if low is not None and high is not None:
            wanted = min(max(wanted, low), high)
    if "host_labels" in columns:
        columns["host_labels"] = columns["host_labels"] or None
        _forget_reasons(server)
    changed = bool(_assign(server, columns))
    return await set_count(session, server, wanted) or changed


def _forget_reasons(server: InferenceServer) -> None:
    """Forget why replicas are not run: they are looked at again."""
    for replica in server.hosted:
        if replica.state == State.STOPPED:
            replica.reason = None


async def set_count(session: AsyncSession, server: InferenceServer, wanted: int) -> bool:
    """Make or delete replicas that hosts run; return whether their number has changed.

    A move of one begins again later.
    """
    hosted = server.hosted
    if wanted == len(hosted):
        return False
    server.updated_at = now()
    gone = surplus(hosted, wanted)
    await delete_replicas(session, server, [*gone, *server.successors])
    for replica in server.hosted:
        if replica.slot >= wanted:  # slots have no gaps
            replica.slot = free_slot(server)
    for _ in range(wanted - len(hosted)):
        server.replicas.append(Replica(slot=free_slot(server)))
    return True


async def delete_replicas(
    session: AsyncSession, server: InferenceServer, gone: Collection[Replica]
) -> None:
    """Delete some, so that others may have their slots."""
    if gone:
        server.replicas = [replica for replica in server.replicas if replica not in gone]
        await session.flush()


def free_slot(server: InferenceServer) -> int:
    """Return the first slot that no replica has."""
    taken = {replica.slot for replica in server.replicas}
    return next(slot for slot in count() if slot not in taken)


async def _raise_count(session: AsyncSession, server: InferenceServer, at_least: int) -> bool:
    """Make as many replicas as are missing, within the range; return whether there are more."""
    has = len(server.replicas) - len(server.successors)
    missing = min(at_least, server.max_replicas or at_least) - has
    return missing > 0 and await set_count(session, server, server.replica_count + missing)


def _apply(replica: Replica, seen: Observation) -> set[str]:
    """Write an observation into the row; return the columns that have changed."""
    return _assign(replica, {**_derived_columns(replica, seen), **seen})


def _assign(row: InferenceServer | Replica, values: Mapping[str, object]) -> set[str]:
    """Write values into the row; return the columns that have changed."""
    changed = {name for name, value in values.items() if getattr(row, name) != value}
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _derived_columns(replica: Replica, seen: Observation) -> dict[str, object]:
    """Return what a change of state implies for other columns."""
    old = State(replica.state)
    new = check_transition(old, seen.get("state", old))
    spawned = new is State.BOOTING and seen.get("phase") is Phase.SPAWNING
    if new is old and not spawned:
        enters = new is State.BOOTING and seen.get("phase") not in (None, replica.phase)
        return {"phase_started_at": now()} if enters else {}
    derived: dict[str, object] = {"phase": None, "phase_started_at": None}
    if new not in {State.READY, State.DRAINING}:
        derived |= {"load": None, "idle_since": None}
    match new:
        case State.BOOTING:
            derived |= dict.fromkeys(("started_at", "phase_started_at"), now())
            derived |= {"ready_at": None, "reason": None}
            derived |= _NO_PROCESS
        case State.READY:
            derived |= {"ready_at": now(), "reason": None}
        case State.STOPPED:
            derived |= _NO_PROCESS
            derived |= {"memory_bytes": None, "ready_at": None}
        case State.DRAINING | State.FAILED | State.UNRESPONSIVE:
            pass
    return derived
