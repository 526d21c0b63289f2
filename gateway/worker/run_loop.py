"""The event loop of a queue worker's child: a thread that runs what Celery hands over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Protocol

import uvloop

from telemetry.logs import logger, reason_of
from telemetry.parent_process import HEARTBEAT_SECONDS

_START_SECONDS = 20.0
"""How long a run waits for an executor that cannot start. Its row is published again later."""
_MIN_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 3.0

log = logger("gateway.worker.run_loop")


class WorkerExecutor(Protocol):
    """Executes runs by their ids. Built, used and closed on one event loop."""

    async def start(self) -> None:
        """Open connections. If this raises, another executor is built after a pause."""

    async def run(self, run_id: str) -> None:
        """Claim the run, execute it and store its result; do nothing if it cannot be claimed."""

    async def close(self) -> None:
        """Hand back the current run, then close everything. Has a few seconds."""


BuildExecutor = Callable[[], WorkerExecutor]
"""Called after the fork, on the event loop that the executor lives on."""


class RunLoopThread:
    """Runs one run at a time for Celery's thread, which waits; the loop also runs in between."""

    def __init__(self, build: BuildExecutor, heartbeat: Callable[[], None]) -> None:
        """Start the loop; it calls `heartbeat` once a second."""
        self._build = build
        self._heartbeat = heartbeat
        self._executor: WorkerExecutor | None = None
        self._started = asyncio.Event()
        self._current: asyncio.Task[None] | None = None
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runs", daemon=True)
        self._thread.start()
        self._loop.call_soon_threadsafe(self._send_heartbeats)
        self._starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)

    def run(self, run_id: str) -> None:
        """Execute a run and return when it has ended. Raises nothing: its row has the outcome."""
        work = asyncio.run_coroutine_threadsafe(self._run(run_id), self._loop)
        try:
            work.result()
        except CancelledError:
            log.warning("run_handed_back", run_id=run_id)
        except TimeoutError:
            log.error("run_not_started", run_id=run_id, reason="the executor has not started")  # noqa: TRY400
        except Exception:
            log.exception("run_crashed", run_id=run_id)

    def close(self) -> None:
        """Hand back the current run and close the executor; `run` returns then. Thread-safe."""
        self._starting.cancel()
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with suppress(TimeoutError, CancelledError):
            closing.result(_CLOSE_SECONDS)

    def _send_heartbeats(self) -> None:
        self._heartbeat()
        self._loop.call_later(HEARTBEAT_SECONDS, self._send_heartbeats)

    async def _start(self) -> None:
        pause = _MIN_RETRY_SECONDS
        while True:
            executor = self._build()
            try:
                await executor.start()
            except Exception as error:  # noqa: BLE001 - any service it needs may be down for a while
                log.warning("executor_not_started", reason=reason_of(error))
                with suppress(Exception):
                    await executor.close()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_RETRY_SECONDS)
            else:
                self._executor = executor
                self._started.set()
                return

    async def _run(self, run_id: str) -> None:
        async with asyncio.timeout(_START_SECONDS):
            await self._started.wait()
        if self._executor is None:  # closed: the row is still queued and is published again
            return
        self._current = asyncio.current_task()
        try:
            await self._executor.run(run_id)
        finally:
            self._current = None

    async def _close(self) -> None:
        executor, self._executor = self._executor, None
        if executor is None:
            return
        try:
            await executor.close()
        finally:
            if self._current is not None:
                self._current.cancel()
