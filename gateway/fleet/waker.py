"""Starts sleeping inference servers when a call arrives for them."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.store import FleetStore
from telemetry.logs import logger, reason_of

_RETRY_SECONDS = 0.5
"""Between attempts while the database is unavailable."""

log = logger("gateway.fleet")


class Waker:
    """Sets a server's desired state to running, in the background. For one event loop.

    Several processes may do so for the same server at the same time; the first one wakes it.
    """

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self, model: str, version: int) -> None:
        """Wake the server of a model version, unless it has been stopped meanwhile.

        Returns at once. Retries until `stop` while the database is unavailable.
        """
        task = asyncio.create_task(self._wake(model, version), name=f"wake {model} {version}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Finish writes in progress, without further retries."""
        self._stopping = True
        await asyncio.gather(*self._tasks)  # not cancelled, as in FleetWatcher

    async def _wake(self, model: str, version: int) -> None:
        while not self._stopping:
            try:
                woken = await self._store.wake(model, version)
            except (SQLAlchemyError, OSError) as error:
                log.warning("wake_failed", model=model, version=version, reason=reason_of(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                if woken:
                    log.info("inference_server_woken", model=model, version=version)
                return
