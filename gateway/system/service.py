"""Puts together the state of an installation."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from gateway.broker.broker import Broker
from gateway.errors import GatewayError
from gateway.fleet.hosts import HostStore
from gateway.fleet.processes import GONE
from gateway.models.service import ModelService
from gateway.storage.database import Database
from gateway.storage.disk_space import room_on_disk
from gateway.system.state import (
    BrokerState,
    DatabaseState,
    HostState,
    StoreState,
    SystemState,
)
from gateway.system.store import SystemStore

_USAGE_SECONDS = 60.0
"""For which the size of the store is remembered: a large one takes long to add up."""


class SystemService:
    """The state, as one gateway sees it."""

    def __init__(
        self,
        db: Database,
        hosts: HostStore,
        models: ModelService,
        broker: Broker,
        *,
        store_limit_bytes: int | None,
        broker_connected: Callable[[], bool],
    ) -> None:
        self._db = db
        self._rows = SystemStore(db)
        self._hosts = hosts
        self._models = models
        self._broker = broker
        self._store_limit_bytes = store_limit_bytes
        self._broker_connected = broker_connected
        self._used: tuple[float, int | None] | None = None
        self._adding_up = asyncio.Lock()

    async def state(self) -> SystemState:
        """Return the present state; the size of the store may be a minute old."""
        rows = self._rows
        return SystemState(
            hosts=[
                HostState(
                    id=host.row.id,
                    name=host.row.name,
                    state="alive" if host.is_alive else GONE,
                    replicas=host.replicas,
                    used_memory_bytes=host.used_memory_bytes,
                    memory_bytes=host.row.memory_bytes,
                )
                for host in await self._hosts.all()
            ],
            processes=await rows.processes(),
            busy=await rows.busy(),
            queues=await rows.queues(),
            database=DatabaseState(
                kind=self._db.dialect,
                answer_seconds=await rows.answer_seconds(),
                problem=self._db.disk_problem(),
            ),
            broker=BrokerState(
                kind=self._broker.kind,
                address=self._broker.display_url,
                connected=self._broker_connected(),
            ),
            store=await self._store(),
            servers=await rows.servers(),
        )

    async def _store(self) -> StoreState:
        free, room = await asyncio.to_thread(_disk_of, self._models.quotas.store.root)
        return StoreState(
            remote=self._models.quotas.store.is_remote,
            bytes=await self._store_bytes(),
            limit_bytes=self._store_limit_bytes,
            free_bytes=free,
            room_bytes=room,
        )

    async def _store_bytes(self) -> int | None:
        async with self._adding_up:
            if self._used is None or monotonic() - self._used[0] > _USAGE_SECONDS:
                self._used = monotonic(), await self._add_up()
            return self._used[1]

    async def _add_up(self) -> int | None:
        try:
            return await self._models.stored_bytes()
        except (GatewayError, OSError):
            return None


def _disk_of(root: Path) -> tuple[int, int]:
    """Return the free bytes of a folder's disk, and the room that is left for runs."""
    while not root.exists():  # it is made with the first model
        root = root.parent
    return shutil.disk_usage(root).free, room_on_disk(root)
