"""Runs in the gateway's own process: so many at once, the rest wait in line."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.deployments.settings import ExecutionMode
from gateway.execution.executor import RunExecutor
from gateway.runs.run import Claim

_MAX_WAITING = 10_000
"""Runs in line; what is more stays with its row, and the sweep brings it again."""


class RunPool:
    """Two lanes, so that runs nobody waits for do not hold up those that somebody waits for."""

    def __init__(self, executor: RunExecutor, *, size: int) -> None:
        self._lanes = {
            mode: _PoolQueue(executor, size) for mode in (ExecutionMode.SYNC, ExecutionMode.ASYNC)
        }
        self.owner = executor.owner

    def has_room(self, mode: ExecutionMode) -> bool:
        """Whether a run of that mode would begin at once."""
        return self._lanes[mode].has_room

    def begin(self, claim: Claim) -> None:
        """Execute a run that is this process's already."""
        self._lanes[claim.mode].begin(claim)

    def submit(self, run_id: str, mode: ExecutionMode) -> None:
        """Have a queued run executed, at once or when its turn comes."""
        self._lanes[mode].submit(run_id)

    @property
    def waiting(self) -> int:
        """How many runs are in line."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and give what runs `seconds` to end."""
        tasks = [task for lane in self._lanes.values() for task in lane.stop()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


class _PoolQueue:
    def __init__(self, executor: RunExecutor, size: int) -> None:
        self._executor = executor
        self._size = size
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.waiting: dict[str, None] = {}
        """In order; a run that the sweep brings again stays where it is."""

    @property
    def has_room(self) -> bool:
        return not self.waiting and len(self._tasks) < self._size and not self._stopping

    def begin(self, claim: Claim) -> None:
        self._start(self._executor.execute(claim))

    def submit(self, run_id: str) -> None:
        if len(self.waiting) < _MAX_WAITING:
            self.waiting[run_id] = None
            self._go_on()

    def stop(self) -> set[asyncio.Task[None]]:
        self._stopping = True
        return set(self._tasks)

    def _go_on(self) -> None:
        while self.waiting and len(self._tasks) < self._size and not self._stopping:
            run_id = next(iter(self.waiting))
            del self.waiting[run_id]
            self._start(self._executor.run(run_id))

    # Any: what asyncio's own coroutines send and take
    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()
        if not task.cancelled() and task.exception() is not None:
            about = {"message": "a run broke", "exception": task.exception(), "task": task}
            task.get_loop().call_exception_handler(about)
