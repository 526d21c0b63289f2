"""One timer for all calls of a connection: one for each would cost more than to send it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

_GRAIN_SECONDS = 0.002
"""The least time between two looks: a deadline is kept to so much."""


class DeadlineTimer:
    """Calls by number, and when their time is up. Belongs to the event loop."""

    def __init__(self, on_expiry: Callable[[bytes, float], None]) -> None:
        """Call `on_expiry` with a call's number, and the seconds that it had."""
        self._on_expiry = on_expiry
        self._loop = asyncio.get_running_loop()
        self._calls: dict[bytes, tuple[float, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def add(self, number: bytes, timeout: float) -> None:
        """Give a call `timeout` seconds."""
        deadline = self._loop.time() + timeout
        self._calls[number] = (deadline, timeout)
        if deadline < self._timer_at:
            self._set_timer(deadline)

    def forget(self, number: bytes) -> None:
        """A call is over."""
        self._calls.pop(number, None)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Let go of the calls whose time is up; look again when the next one's is."""
        now = self._loop.time()
        self._timer, self._timer_at = None, math.inf
        expired = [item for item in self._calls.items() if item[1][0] <= now]
        for number, (_, timeout) in expired:
            del self._calls[number]
            self._on_expiry(number, timeout)
        if self._calls:
            first = min(deadline for deadline, _ in self._calls.values())
            self._set_timer(max(first, now + _GRAIN_SECONDS))
