"""A step of background work that is repeated, when it is woken or after a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.storage.failures import log_failure
from telemetry.logs import logger

_RETRY_SECONDS = 1.0
_STOP_SECONDS = 2.0

log = logger("gateway.background_step")


class BackgroundStep:
    """Runs a step that returns the seconds until the next one; None: when it is woken.

    A step that fails is logged, and repeated in a moment. It is stopped between two steps, because
    a cancelled query breaks its connection. For one event loop.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[float | None]]) -> None:
        self._name = name
        self._step = step
        self._wake = asyncio.Event()
        self._stopping = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, when it is woken."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Have the step run soon, again if it runs now."""
        self._wake.set()

    async def stop(self) -> None:
        """Stop; a step that runs has a moment to end."""
        if self._task is not None:
            self._stopping = True
            self._wake.set()
            await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        seconds: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            if self._stopping:
                return
            self._wake.clear()
            try:
                seconds = await self._step()
                self._failing = False
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                if not self._failing:
                    log_failure(log, "background_step_failed", error, step=self._name)
                self._failing = True
                seconds = _RETRY_SECONDS
