"""The runs on threads, and the end of those that no caller waits for, or that take too long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from time import perf_counter

from inference_server.data_plane.calls import PendingCall
from inference_server.runtime.session import RunOptions

_TIMER_GRAIN_SECONDS = 0.005
"""Between two checks of deadlines: a deadline may be exceeded by so much."""


class ThreadRun:
    """A batch that a thread has taken."""

    __slots__ = ("calls", "ends_at", "max_seconds", "options", "rows", "terminated_at")

    def __init__(self, calls: Sequence[PendingCall], rows: int, max_seconds: float) -> None:
        self.calls = calls
        self.rows = rows
        self.max_seconds = max_seconds
        """How long it may go on, whatever the deadlines of its calls are."""
        self.ends_at = perf_counter() + max_seconds
        self.options = RunOptions()
        self.terminated_at: float | None = None
        """The `perf_counter()` at which it was told to end."""


class ThreadRuns:
    """Ends each run at the deadline of its last call, or when all its calls are cancelled.

    At the latest it ends when it has taken as long as it may.

    One timer serves all runs; nothing is done for a run that ends in time. For one event loop.
    """

    def __init__(
        self,
        *,
        grace_seconds: float,
        on_deadline: Callable[[PendingCall, float], None],
        on_too_long: Callable[[ThreadRun], None],
        on_stuck: Callable[[float], None],
    ) -> None:
        """Watch no run yet.

        Args:
            grace_seconds: how long a run may go on after it was told to end.
            on_deadline: called with a call whose deadline has passed during its run, and the time.
            on_too_long: called with a run that has taken as long as it may; its calls count as
                cancelled once it returns.
            on_stuck: called with the seconds since a run was told to end, when that is too long.
        """
        self._grace_seconds = grace_seconds
        self._on_deadline = on_deadline
        self._on_too_long = on_too_long
        self._on_stuck = on_stuck
        self._loop = asyncio.get_running_loop()
        self.active: set[ThreadRun] = set()
        """The runs that go on; to be read only."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._check_scheduled = False

    def add(self, run: ThreadRun) -> None:
        """Watch a run that begins."""
        self.active.add(run)
        self._set_timer(_next_check(run, self._grace_seconds))

    def remove(self, run: ThreadRun) -> None:
        """Forget a run that has ended."""
        self.active.remove(run)

    def check_soon(self) -> None:
        """Look for runs without callers in the next turn of the loop: a call was cancelled."""
        if self.active and not self._check_scheduled:
            self._check_scheduled = True
            self._loop.call_soon(self._check)

    def close(self) -> None:
        """Tell every run to end; no call waits."""
        for run in self.active:
            run.options.terminate = True
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, when: float) -> None:
        if when >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(_TIMER_GRAIN_SECONDS, when - perf_counter())
        self._timer_at = when
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._check()

    def _check(self) -> None:
        self._check_scheduled = False
        now = perf_counter()
        for run in list(self.active):
            for call in run.calls:
                if not call.cancelled and call.deadline is not None and call.deadline <= now:
                    call.cancelled = True
                    self._on_deadline(call, now)
            if run.terminated_at is None:
                if run.ends_at <= now:
                    self._on_too_long(run)
                    for call in run.calls:
                        call.cancelled = True
                if all(call.cancelled for call in run.calls):
                    run.options.terminate = True
                    run.terminated_at = now
            elif now - run.terminated_at >= self._grace_seconds:
                self._on_stuck(now - run.terminated_at)
                return
            self._set_timer(_next_check(run, self._grace_seconds))


def _next_check(run: ThreadRun, grace_seconds: float) -> float:
    """Return the `perf_counter()` at which something is due for `run`."""
    if run.terminated_at is not None:
        return run.terminated_at + grace_seconds
    deadlines = [
        call.deadline for call in run.calls if call.deadline is not None and not call.cancelled
    ]
    return min([run.ends_at, *deadlines])
