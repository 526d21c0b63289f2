"""Inference servers that somebody else starts: they register themselves, and have a lease each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic
from typing import TypedDict

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import load_model_user, not_yours
from gateway.errors import GatewayError
from gateway.fleet.service import ResolveVersion
from gateway.fleet.states import Desired, Phase, State
from gateway.fleet.store import find_by_model, insert_server
from gateway.ids import is_id
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import InferenceServer, Model, Replica
from protos.errors import ErrorCode
from telemetry.logs import logger

LEASE_SECONDS = 5.0
"""By the database's clock. A process that has not registered again by then is gone."""
FIRST_SLOT = 1000
"""Of the replicas that have registered, so that those of hosts have the numbers from 0 on."""
_MAX_PER_SERVER = 256

log = logger("gateway.fleet.registrations")


class Seen(TypedDict):
    """What a process says of itself."""

    state: State
    phase: Phase | None
    tcp_address: str
    metrics_address: str | None
    pid: int
    memory_bytes: int | None
    reason: str | None
    boot_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a process is told."""

    desired: Desired
    """Of the server that it is a replica of: it gets calls only while that is `running`."""


class RegistrationService:
    """The rows of the processes that have registered. Each writes its own, by its id."""

    def __init__(self, db: Database, resolve_version: ResolveVersion) -> None:
        self._db = db
        self._resolve_version = resolve_version

    async def register(
        self, profile_id: str, registration_id: str, model: str, version: int, seen: Seen
    ) -> Registered:
        """Write the row of a process of a model's server, and begin its lease anew.

        The first one of a model version without a server creates it, and wakes one that is asleep;
        one that a user has stopped stays stopped.

        Raises:
            GatewayError: NOT_FOUND for a model or version that the user does not see;
                ROLE_FORBIDDEN if they do not manage the model; CONFLICT if the id belongs to a
                process of another model version, or the server has too many.
        """
        if not is_id(registration_id):
            message = "id: expected a UUID that the process has chosen"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
        registration_id = registration_id.lower()
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            manages = user.may_manage(await session.get(Model, model))
            is_known = await find_by_model(session, model, version) is not None
        if not (manages and is_known):  # of a private model, the answer is that there is none
            await self._resolve_version(profile_id, model, str(version))
        if not manages:
            raise not_yours(model)
        try:
            return await self._write_row(registration_id, model, version, seen)
        except IntegrityError:  # another process has inserted the server's row meanwhile
            return await self._write_row(registration_id, model, version, seen)

    async def _write_row(
        self, registration_id: str, model: str, version: int, seen: Seen
    ) -> Registered:
        async with self._db.write() as session:
            server = await find_by_model(session, model, version, lock=True)
            if server is None:
                server = await insert_server(session, model, version, None, {"replicas": 0})
            replica = await session.get(Replica, registration_id, with_for_update=True)
            is_changed = is_new = replica is None
            if replica is None:
                replica = Replica(id=registration_id, server_id=server.id, slot=_free_slot(server))
                session.add(replica)
            elif replica.server_id != server.id or not replica.is_registered:
                message = f"id: the process {registration_id} is known, and not of this model"
                raise GatewayError(ErrorCode.CONFLICT, message)
            if server.desired == Desired.ASLEEP:
                server.desired = Desired.RUNNING
                server.generation += 1
                is_changed = True
            is_changed |= _write(replica, seen)
            replica.lease_until = seconds_from_now(LEASE_SECONDS)
            if is_changed:
                record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
            registered = Registered(desired=Desired(server.desired))
        if is_new:
            address = seen["tcp_address"]
            log.info("inference_server_registered", model=model, version=version, address=address)
        return registered

    async def remove(self, profile_id: str, registration_id: str) -> None:
        """Delete the row of a process that has ended; do nothing if there is none.

        Raises:
            GatewayError: ROLE_FORBIDDEN if the user does not manage its model.
        """
        if not is_id(registration_id):
            return
        async with self._db.write() as session:
            replica = await session.get(Replica, registration_id.lower())
            if replica is None or not replica.is_registered:
                return
            server = await session.get(InferenceServer, replica.server_id, with_for_update=True)
            assert server is not None
            user = await load_model_user(session, profile_id)
            if not user.may_manage(await session.get(Model, server.model)):
                raise not_yours(server.model)
            await _delete(session, {replica.id})
        log.info("inference_server_gone", id=registration_id, reason="it has ended")


class Leases:
    """Ends those of the processes that have not registered again in time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._since: float | None = None
        self._looked_at = 0.0

    async def end(self) -> None:
        """Delete the rows whose lease has ended; to be called once a second while there are any.

        Not before this process has looked for longer than a lease without a pause: after the
        database was away, the leases of all have ended, and they begin again within a second.
        """
        ended = select(Replica.id).where(Replica.lease_until < seconds_from_now())
        async with self._db.read() as session:
            found = set((await session.execute(ended)).scalars())
        looked_at, self._looked_at = self._looked_at, monotonic()
        if self._since is None or self._looked_at - looked_at > LEASE_SECONDS / 2:
            self._since = self._looked_at
        if not found or self._looked_at - self._since < LEASE_SECONDS:
            return
        async with self._db.write() as session:
            still = ended.where(Replica.id.in_(found)).order_by(Replica.id).with_for_update()
            gone = set((await session.execute(still)).scalars())
            await _delete(session, gone)
        for registration_id in sorted(gone):
            log.warning("inference_server_gone", id=registration_id, reason="its lease has ended")


def _free_slot(server: InferenceServer) -> int:
    taken = {replica.slot for replica in server.replicas}
    free = (slot for slot in range(FIRST_SLOT, FIRST_SLOT + _MAX_PER_SERVER) if slot not in taken)
    slot = next(free, None)
    if slot is None:
        message = f"{server.model}: {_MAX_PER_SERVER} processes of version {server.version} have "
        raise GatewayError(ErrorCode.CONFLICT, f"{message}registered, more are refused")
    return slot


def _write(replica: Replica, seen: Seen) -> bool:
    """Write what a process says of itself; return whether other processes must hear of it."""
    old = replica.state
    changed = {name for name, value in seen.items() if getattr(replica, name) != value}
    for name, value in seen.items():
        setattr(replica, name, value)
    if old != replica.state and replica.state == State.BOOTING:
        replica.started_at = now()
    if old != replica.state and replica.state == State.READY:
        replica.ready_at = now()
    return bool(changed - {"memory_bytes"})


async def _delete(session: AsyncSession, ids: Collection[str]) -> None:
    servers = select(Replica.server_id).where(Replica.id.in_(ids)).distinct()
    for server_id in (await session.execute(servers)).scalars().all():
        record_change(session, ChangeKind.INFERENCE_SERVER, server_id)
    await session.execute(delete(Replica).where(Replica.id.in_(ids)))
