"""Executes runs in the gateway's own process, a limited number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.deployments.settings import ExecutionMode
from gateway.execution.executor import RunExecutor
from gateway.runs.run import Claim

_MAX_WAITING = 10_000
"""Queue length. The sweep submits runs beyond it again later."""


class RunPool:
    """One queue per mode, so that async runs do not delay sync runs, for which a caller waits."""

    def __init__(self, executor: RunExecutor, *, size: int) -> None:
        self._lanes = {
            mode: _PoolQueue(executor, size) for mode in (ExecutionMode.SYNC, ExecutionMode.ASYNC)
        }
        self.owner = executor.owner

    def has_room(self, mode: ExecutionMode) -> bool:
        """Whether a run of that mode would start at once."""
        return self._lanes[mode].has_room

    def begin(self, claim: Claim) -> None:
        """Execute a run that this process has claimed."""
        self._lanes[claim.mode].begin(claim)

    def submit(self, run_id: str, mode: ExecutionMode) -> None:
        """Execute a queued run as soon as there is room."""
        self._lanes[mode].submit(run_id)

    @property
    def waiting(self) -> int:
        """How many runs are queued here."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def use(self) -> dict[ExecutionMode, tuple[int, int]]:
        """Return how many runs of each mode go on, and how many may."""
        return {mode: (lane.running, lane.size) for mode, lane in self._lanes.items()}

    async def drain(self, seconds: float) -> list[str]:
        """Start no more runs, and wait up to `seconds` for the running ones.

        Returns the ids of those that were waiting: other processes may take them.
        """
        tasks = [task for lane in self._lanes.values() for task in lane.stop()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return [run_id for lane in self._lanes.values() for run_id in lane.waiting]


class _PoolQueue:
    def __init__(self, executor: RunExecutor, size: int) -> None:
        self._executor = executor
        self.size = size
        self._tasks: set[asyncio.Task[None]] = set()
        self._only_wait = 0
        """How many of them hold no place, as their nodes wait."""
        self._stopping = False
        self.waiting: dict[str, None] = {}
        """Run ids in order; a run that the sweep submits again keeps its place."""

    @property
    def running(self) -> int:
        return len(self._tasks) - self._only_wait

    @property
    def has_room(self) -> bool:
        return not self.waiting and self.running < self.size and not self._stopping

    def begin(self, claim: Claim) -> None:
        self._start(self._executor.execute(claim, self._lend_place))

    def submit(self, run_id: str) -> None:
        if len(self.waiting) < _MAX_WAITING:
            self.waiting[run_id] = None
            self._go_on()

    def stop(self) -> set[asyncio.Task[None]]:
        self._stopping = True
        return set(self._tasks)

    def _go_on(self) -> None:
        while self.waiting and self.running < self.size and not self._stopping:
            run_id = next(iter(self.waiting))
            del self.waiting[run_id]
            self._start(self._executor.run(run_id, self._lend_place))

    @contextmanager
    def _lend_place(self) -> Iterator[None]:
        self._only_wait += 1
        self._go_on()
        try:
            yield
        finally:
            self._only_wait -= 1

    # Any: what asyncio's own coroutines send and take
    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()
        if not task.cancelled() and task.exception() is not None:
            context = {
                "message": "a run raised an unexpected error",
                "exception": task.exception(),
                "task": task,
            }
            task.get_loop().call_exception_handler(context)
