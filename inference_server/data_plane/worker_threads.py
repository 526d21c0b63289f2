"""Threads for runs too long for the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

from telemetry.priority import lower_thread_priority

Result = TypeVar("Result")
_Task = tuple[Callable[[], Result], Callable[[Result | Exception], None], asyncio.AbstractEventLoop]


class WorkerThreads(Generic[Result]):
    """Up to `count` threads for runs too long for the event loop, started on first use.

    A ThreadPoolExecutor takes 35 µs more for each run: it makes a future with a lock to wait on,
    which is not needed here.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._tasks: SimpleQueue[_Task[Result] | None] = SimpleQueue()

    def run(
        self, work: Callable[[], Result], on_done: Callable[[Result | Exception], None]
    ) -> None:
        """Call `work` on a thread, then `on_done` with its result on the event loop."""
        if self._started < self._count:
            self._started += 1
            threading.Thread(target=self._run_tasks, name="run", daemon=True).start()
        self._tasks.put((work, on_done, asyncio.get_running_loop()))

    def close(self) -> None:
        """Let each thread end when it has nothing left to do."""
        for _ in range(self._started):
            self._tasks.put(None)

    def _run_tasks(self) -> None:
        lower_thread_priority()
        while _run_task(self._tasks.get()):
            pass


def _run_task(task: _Task[Result] | None) -> bool:
    """Run a task; return False for None. A function, so that an idle thread references no task."""
    if task is None:
        return False
    work, on_done, loop = task
    result: Result | Exception
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - passed on to the event loop
        result = error
    with suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(on_done, result)
    return True
