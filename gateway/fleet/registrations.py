"""Inference servers that no host starts: they register themselves, and have a lease each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from time import monotonic

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.fleet.service import ResolveVersion
from gateway.fleet.states import Desired, Phase, State
from gateway.fleet.store import find_by_model, insert_server, note_boot
from gateway.ids import is_id
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import InferenceServer, Replica
from protos.errors import ErrorCode
from telemetry.logs import logger

LEASE_SECONDS = 5.0
"""By the database's clock. A process that has not registered again by then is gone."""
FIRST_SLOT = 1000
"""Of the replicas that have registered, so that those of hosts have the numbers from 0 on."""
_MAX_PER_SERVER = 256
GRACE_SECONDS = 2.0
"""How long the lease of a process must be seen to have ended: when the database was away, or its
clock has jumped, those of all have ended, and begin again within a second."""

log = logger("gateway.fleet.registrations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a process says of itself: columns of its replica."""

    state: State
    phase: Phase | None
    tcp_address: str
    metrics_address: str | None
    pid: int
    reason: str | None
    boot_seconds: float | None


class RegistrationService:
    """The rows of the processes that have registered, each by the id that it has chosen."""

    def __init__(self, db: Database, resolve_version: ResolveVersion) -> None:
        self._db = db
        self._resolve_version = resolve_version

    async def register(self, registration_id: str, model: str, version: int, seen: Seen) -> Desired:
        """Write the row of a process of a model's server, and let its lease begin again.

        Returns what is desired of the server: the process gets calls only while it is to run. The
        first process of a model version without a server creates it, and wakes one that is asleep;
        one that a user has stopped stays stopped.

        Raises:
            GatewayError: VALIDATION_FAILED for an id that is no UUID; NOT_FOUND for a model version
                that is not in the store; CONFLICT if the id belongs to another process, or the
                server has too many.
        """
        if not is_id(registration_id):
            message = "id: expected a UUID that the process has chosen"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
        registration_id = registration_id.lower()
        desired = await self._renew(registration_id, model, version, seen)
        if desired is not None:
            return desired
        async with self._db.read() as session:
            is_known = await find_by_model(session, model, version) is not None
        if not is_known:
            await self._resolve_version(None, model, str(version))
        try:
            return await self._write(registration_id, model, version, seen)
        except IntegrityError:  # another process has inserted the server's row meanwhile
            return await self._write(registration_id, model, version, seen)

    async def remove(self, registration_id: str) -> None:
        """Delete the row of a process that has ended; do nothing if there is none."""
        if not is_id(registration_id):
            return
        async with self._db.write() as session:
            registered = select(Replica.id).where(
                Replica.id == registration_id.lower(), Replica.lease_until.is_not(None)
            )
            found = set((await session.execute(registered.with_for_update())).scalars())
            await _delete(session, found)
        if found:
            log.info("inference_server_gone", id=registration_id, reason="it has ended")

    async def _renew(
        self, registration_id: str, model: str, version: int, seen: Seen
    ) -> Desired | None:
        """Let the lease of a process begin again that says nothing new, which is what most do.

        It is one statement, and no other row is locked. Returns None if there is more to write.
        """
        same = [
            getattr(Replica, name).is_not_distinct_from(value)
            for name, value in asdict(seen).items()
        ]
        server = select(InferenceServer.id).where(
            InferenceServer.model == model,
            InferenceServer.version == version,
            InferenceServer.desired != Desired.ASLEEP,
        )
        desired = select(InferenceServer.desired).where(InferenceServer.id == Replica.server_id)
        renewed = (
            update(Replica)
            .where(Replica.id == registration_id, Replica.lease_until.is_not(None))
            .where(Replica.server_id.in_(server), *same)
            .values(lease_until=seconds_from_now(LEASE_SECONDS))
            .returning(desired.scalar_subquery())
            .execution_options(synchronize_session=False)
        )
        async with self._db.write() as session:
            found = (await session.execute(renewed)).scalar_one_or_none()
        return None if found is None else Desired(found)

    async def _write(self, registration_id: str, model: str, version: int, seen: Seen) -> Desired:
        async with self._db.write() as session:
            server = await find_by_model(session, model, version, lock=True)
            if server is None:
                server = await insert_server(session, model, version, None, {"replicas": 0})
            replica = await session.get(Replica, registration_id, with_for_update=True)
            is_new = replica is None
            if replica is None:
                replica = Replica(id=registration_id, server_id=server.id, slot=_free_slot(server))
                session.add(replica)
            elif replica.server_id != server.id or not replica.is_registered:
                message = f"id: the process {registration_id} is known, and not of this model"
                raise GatewayError(ErrorCode.CONFLICT, message)
            if server.desired == Desired.ASLEEP:
                server.desired = Desired.RUNNING
                server.generation += 1
            _note_changes(server, replica, seen)
            for name, value in asdict(seen).items():
                setattr(replica, name, value)
            replica.lease_until = seconds_from_now(LEASE_SECONDS)
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
            desired = Desired(server.desired)
        if is_new:
            address = seen.tcp_address
            log.info("inference_server_registered", model=model, version=version, address=address)
        return desired


class Leases:
    """Ends those of the processes that have not registered again in time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ended: dict[str, float] = {}
        """Since when the lease of a process is seen to have ended."""
        self._looked_at = 0.0

    async def end(self) -> None:
        """Delete the rows whose lease has ended; to be called once a second while there are any."""
        ended = select(Replica.id).where(Replica.lease_until < seconds_from_now())
        async with self._db.read() as session:
            found = (await session.execute(ended)).scalars().all()
        looked_at, self._looked_at = self._looked_at, monotonic()
        if self._looked_at - looked_at > GRACE_SECONDS:  # the database did not answer meanwhile
            self._ended = {}
        self._ended = {one: self._ended.get(one, self._looked_at) for one in found}
        due = {
            one for one, since in self._ended.items() if self._looked_at - since >= GRACE_SECONDS
        }
        if not due:
            return
        async with self._db.write() as session:
            # What another process deletes or renews at this moment is left to it.
            still = ended.where(Replica.id.in_(due)).with_for_update(skip_locked=True)
            gone = set((await session.execute(still)).scalars())
            await _delete(session, gone)
        for registration_id in sorted(gone):
            log.warning("inference_server_gone", id=registration_id, reason="its lease has ended")


def _note_changes(server: InferenceServer, replica: Replica, seen: Seen) -> None:
    """Write the times that follow from another state or phase."""
    if replica.state != seen.state and seen.state is State.BOOTING:
        replica.started_at = now()
    if replica.state != seen.state and seen.state is State.READY:
        replica.ready_at = now()
        if seen.boot_seconds is not None:
            note_boot(server, seen.boot_seconds)
    if (replica.state, replica.phase) != (seen.state, seen.phase):
        replica.phase_started_at = now() if seen.state is State.BOOTING else None


def _free_slot(server: InferenceServer) -> int:
    taken = {replica.slot for replica in server.replicas}
    free = (slot for slot in range(FIRST_SLOT, FIRST_SLOT + _MAX_PER_SERVER) if slot not in taken)
    slot = next(free, None)
    if slot is None:
        message = f"{server.model}: {_MAX_PER_SERVER} processes of version {server.version} have "
        raise GatewayError(ErrorCode.CONFLICT, f"{message}registered, more are refused")
    return slot


async def _delete(session: AsyncSession, ids: Collection[str]) -> None:
    servers = select(Replica.server_id).where(Replica.id.in_(ids)).distinct()
    for server_id in (await session.execute(servers)).scalars().all():
        record_change(session, ChangeKind.INFERENCE_SERVER, server_id)
    await session.execute(delete(Replica).where(Replica.id.in_(ids)))
