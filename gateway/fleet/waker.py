"""Has servers that are asleep run again, as soon as a call has come for one."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.store import FleetStore
from telemetry.logs import logger, reason_of

_AGAIN_SECONDS = 0.5
"""Between two attempts to reach a database that is away."""

log = logger("gateway.fleet")


class Waker:
    """Writes down, behind the call's back, that a server is wanted. For one event loop.

    Several processes may do so for the same server at the same time: the first one wakes it.
    """

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self, model: str, version: int) -> None:
        """Have the server of a model version run, unless it has been stopped meanwhile.

        Returns at once. What cannot be written is tried again until `stop`.
        """
        task = asyncio.create_task(self._wake(model, version), name=f"wake {model} {version}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Finish what is being written, and try nothing again."""
        self._stopping = True
        await asyncio.gather(*self._tasks)  # not cancelled, as in FleetWatcher

    async def _wake(self, model: str, version: int) -> None:
        while not self._stopping:
            try:
                woken = await self._store.wake(model, version)
            except (SQLAlchemyError, OSError) as error:
                log.warning("wake_waits", model=model, version=version, reason=reason_of(error))
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                if woken:
                    log.info("inference_server_woken", model=model, version=version)
                return
