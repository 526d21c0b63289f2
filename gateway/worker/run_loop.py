"""What one child of a worker has: an event loop on a thread, and on it the executor."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from contextlib import suppress

import uvloop

from gateway.worker.executor import BuildExecutor, RunExecutor
from telemetry.logs import logger, reason_of

_START_SECONDS = 20.0
"""How long a run waits for an executor that cannot start; its row is published again later."""
_MIN_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 3.0

log = logger("gateway.worker.run_loop")


class RunLoopThread:
    """Runs one thing at a time for Celery, which calls and waits; the loop goes on between them."""

    def __init__(self, build: BuildExecutor) -> None:
        self._build = build
        self._executor: RunExecutor | None = None
        self._started = asyncio.Event()
        self._current: asyncio.Task[None] | None = None
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runs", daemon=True)
        self._thread.start()
        self._starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)

    def run(self, run_id: str) -> None:
        """Run it, and return when it has ended. Raises nothing: how it ended is in its row."""
        work = asyncio.run_coroutine_threadsafe(self._run(run_id), self._loop)
        try:
            work.result()
        except CancelledError:
            log.warning("run_left", run_id=run_id)
        except TimeoutError:
            log.error("run_not_taken", run_id=run_id, reason="the executor has not started")  # noqa: TRY400
        except Exception:
            log.exception("run_broke", run_id=run_id)

    def close(self) -> None:
        """Have the executor hand back what runs, and end; then `run` returns. From any thread."""
        self._starting.cancel()
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with suppress(TimeoutError, CancelledError):
            closing.result(_CLOSE_SECONDS)

    async def _start(self) -> None:
        pause = _MIN_RETRY_SECONDS
        while True:
            executor = self._build()
            try:
                await executor.start()
            except Exception as error:  # noqa: BLE001 - whatever is away, it may come back
                log.warning("worker_waits", reason=reason_of(error))
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
        if self._executor is None:  # it has left: the row is still queued, and is published again
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
