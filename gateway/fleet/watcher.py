"""Applies the rows of inference servers, and of their models, to the gateway's connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.auth.model_access import Visibility
from gateway.fleet.registrations import Leases
from gateway.fleet.server_rows import ServerRows
from gateway.fleet.states import Desired
from gateway.fleet.store import FleetStore
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.failures import log_failure
from gateway.storage.tables import InferenceServer, Model
from gateway.upstream.servers import InferenceServers, ReplicaStatus, ServerStatus
from telemetry.logs import logger

_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 1.0
"""Between two looks for leases that have ended."""

log = logger("gateway.fleet")


class FleetWatcher:
    """Reads the rows at the start, those that change after each change, and applies them.

    It also ends leases of processes that have registered, while there are any.
    """

    def __init__(
        self,
        store: FleetStore,
        feed: ChangeFeed,
        servers: InferenceServers,
        leases: Leases | None = None,
    ) -> None:
        """Watch; without `leases`, other processes end them."""
        self._leases = leases
        self._has_leases = False
        self._servers = servers
        self._changed = asyncio.Event()
        self._rows = ServerRows(
            store,
            feed,
            _status,
            self._changed,
            kinds=(ChangeKind.INFERENCE_SERVER, ChangeKind.MODEL),
        )
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.loaded = asyncio.Event()
        """Set once the rows have been read."""

    def start(self) -> None:
        """Start watching."""
        self._changed.set()
        self._task = asyncio.create_task(self._watch(), name="fleet watcher")

    async def stop(self) -> None:
        """Stop watching."""
        self._stopping = True
        self._changed.set()
        if self._task is not None:
            await self._task  # not cancelled: interrupting a query breaks its connection

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS if self._has_leases else None):
                    await self._changed.wait()
            if self._stopping:
                break
            try:
                if self._changed.is_set():
                    self._changed.clear()
                    statuses = await self._rows.read()
                    self._servers.apply(statuses)
                    self._has_leases = self._leases is not None and any(
                        not replica.is_hosted for each in statuses for replica in each.replicas
                    )
                    self.loaded.set()
                if self._leases and self._has_leases:
                    await self._leases.end()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "fleet_read_failed", error)
                self._changed.set()
                await asyncio.sleep(_RETRY_SECONDS)


def _status(row: InferenceServer, model: Model | None) -> ServerStatus:
    private = model is not None and model.visibility == Visibility.PRIVATE
    return ServerStatus(
        model=row.model,
        version=row.version,
        wanted=row.desired == Desired.RUNNING,
        asleep=row.desired == Desired.ASLEEP,
        generation=row.generation,
        state=row.state,
        phase=row.phase,
        replicas=tuple(
            ReplicaStatus(
                slot=replica.slot,
                address=replica.address,
                tcp_address=replica.tcp_address,
                is_hosted=not replica.is_registered,
                host_id=replica.host_id,
                metrics_address=replica.metrics_address,
                crashed_call=replica.crashed_call,
            )
            for replica in row.replicas
        ),
        reason=row.reason,
        started_at=row.started_at,
        boot_seconds=row.boot_seconds,
        restarts=row.restarts,
        private=private,
        owner_id=model.owner_id if model is not None else None,
    )
