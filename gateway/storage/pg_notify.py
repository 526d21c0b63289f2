"""Notices from process to process through PostgreSQL: heard within a moment, or not at all.

They only spare waiting: whoever listens must look by itself now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from gateway.storage.database import Database
from telemetry.logs import logger, reason_of

_CHANNEL = "slipstream"
_AT_ONCE = 7000
"""Bytes of one notice: PostgreSQL takes less than 8000."""
_MOST_WAITING = 10_000
_AGAIN_SECONDS = 0.25
_CLOSE_SECONDS = 2.0

log = logger("gateway.storage.pg_notify")

Listener = Callable[[str | None], None]
"""Called with a notice, or None where some may have been missed."""


class PgNotifier:
    """Tells words without blanks, and hears those of all processes, over one own connection.

    Committed with nothing else: a notice inside of a transaction would queue its commit behind all
    others'. Without PostgreSQL nothing is told and nothing heard. For one event loop.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners: list[Listener] = []
        self._waiting: list[str] = []
        self._something = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._task: asyncio.Task[None] | None = None
        self._lost = False
        self.connected = False
        """Whether notices are told and heard at this moment."""

    @property
    def available(self) -> bool:
        """Whether this database carries notices at all."""
        return self._db.dialect == "postgresql"

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` for each notice; before `start`. It must not raise or block."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Connect, and stay so; where there is no server at the moment, as soon as there is."""
        if self.available and self._task is None:
            self._task = asyncio.create_task(self._stay_connected(), name="notices")

    async def stop(self) -> None:
        """Tell what waits, unless that takes too long, and hang up."""
        task, self._task = self._task, None
        if task is None:
            return
        if self.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._told.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def tell(self, word: str) -> None:
        """Have every process hear `word`; never blocks, never raises."""
        if self._task is not None and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(word)
            self._told.clear()
            self._something.set()

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._while_connected()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if not self._lost:
                    log.warning("notices_lost", reason=reason_of(error))
                self._lost = True
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _while_connected(self) -> None:
        connection = await asyncpg.connect(**self._db.driver_options())
        ended = asyncio.Event()

        def note_end(_: asyncpg.Connection) -> None:
            ended.set()
            self._something.set()

        try:
            connection.add_termination_listener(note_end)
            if self._listeners:
                await connection.add_listener(_CHANNEL, self._heard)
                self._pass_on(None)
            if self._lost:
                log.info("notices_back")
            self.connected, self._lost = True, False
            while not ended.is_set():
                await self._tell_waiting(connection)
                await self._something.wait()
            raise ConnectionResetError("the database has closed the connection")
        finally:
            self.connected = False
            connection.terminate()

    async def _tell_waiting(self, connection: asyncpg.Connection) -> None:
        self._something.clear()
        while self._waiting:
            count = size = 0
            for word in self._waiting:
                size += len(word) + 1
                if size > _AT_ONCE:
                    break
                count += 1
            words = " ".join(self._waiting[:count])
            await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, words)
            del self._waiting[:count]
        self._told.set()

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for word in str(payload).split():
            self._pass_on(word)

    def _pass_on(self, word: str | None) -> None:
        for listener in self._listeners:
            listener(word)
