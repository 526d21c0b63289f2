"""Queued writes to the rows of inference servers, in order; retried while the database is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Unpack

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.store import FleetStore, Observation
from telemetry.logs import logger

_RETRY_SECONDS = 0.5
"""Between two attempts while the database is down."""

log = logger("slipstream.supervisor.observations")


class ObservationQueue:
    """Queues observations without waiting; `run` writes them."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._queue: asyncio.Queue[tuple[str, Callable[[], Awaitable[bool]]]] = asyncio.Queue()

    def add(self, server_id: str, **seen: Unpack[Observation]) -> None:
        """Queue what was observed of a server."""
        self._queue.put_nowait((server_id, lambda: self._store.observe(server_id, **seen)))

    def add_asleep(self, server_id: str, generation: int) -> None:
        """Queue that a server has ended because it was idle; see `FleetStore.mark_asleep`."""
        self._queue.put_nowait((server_id, lambda: self._store.mark_asleep(server_id, generation)))

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            server_id, write = await self._queue.get()
            await self._write(server_id, write)
            self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """Return when everything is written, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), seconds)

    async def _write(self, server_id: str, write: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                await write()
            except (SQLAlchemyError, OSError) as error:
                log.warning("observation_waits", server_id=server_id, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            except ValueError:
                log.exception("observation_refused", server_id=server_id)
                return
            else:
                return
