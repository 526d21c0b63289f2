"""Queued writes to the rows of replicas, in order; retried while the database is down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Unpack

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.store import Event, FellAsleep, FleetStore, Observation, Observed
from telemetry.logs import logger

_RETRY_SECONDS = 0.5
"""Between two attempts while the database is down."""
_BATCH = 64
"""Events per transaction: each has gateways read what has changed, but a long one makes other
writers wait."""

log = logger("slipstream.supervisor.observations")


class ObservationQueue:
    """Queues observations without waiting; `run` writes those that have gathered together."""

    def __init__(self, store: FleetStore, host_id: str | None = None) -> None:
        """Write rows of replicas that the host has; None: that no host has."""
        self._store = store
        self._host_id = host_id
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def add(self, replica_id: str, **seen: Unpack[Observation]) -> None:
        """Queue what was observed of a replica."""
        self.put(Observed(replica_id=replica_id, seen=seen))

    def add_asleep(self, replica_id: str, generation: int) -> None:
        """Queue that a replica has ended because it was idle; see `FleetStore.mark_asleep`."""
        self.put(FellAsleep(replica_id=replica_id, generation=generation))

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, as it does while the database is down."""
        return self._queue.empty()

    def put(self, event: Event) -> None:
        """Queue an event."""
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            events = [await self._queue.get()]
            while len(events) < _BATCH and not self._queue.empty():
                events.append(self._queue.get_nowait())
            await self._write(events)
            for _ in events:
                self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """Return when everything is written, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), seconds)

    async def _write(self, events: Sequence[Event]) -> None:
        while True:
            try:
                await self._store.record(events, host_id=self._host_id)
            except (SQLAlchemyError, OSError) as error:
                log.warning("observations_wait", count=len(events), reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            except ValueError:
                if len(events) == 1:
                    log.exception("observation_refused", replica_id=events[0].replica_id)
                    return
                for event in events:  # so that only the refused one is missing
                    await self._write([event])
                return
            else:
                return
