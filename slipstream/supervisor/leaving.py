"""Replicas that are not needed now run on until gateways know, and for the calls that they have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Set

from slipstream.supervisor.process_manager import SWITCH_SECONDS

_LOOK_SECONDS = 1.0
"""Between two looks at those that still have calls."""
_TIMER_SECONDS = 0.01
"""By which a timer may be early."""


class LeavingReplicas:
    """Iterates over those that are to run on. For one event loop."""

    def __init__(
        self, *, is_busy: Callable[[str], bool], call_seconds: float, look: Callable[[], None]
    ) -> None:
        """Keep one for `SWITCH_SECONDS`; while it `is_busy`, for what a call may take.

        `look` is called when `update` is due.
        """
        self._is_busy = is_busy
        self._call_seconds = call_seconds
        self._look = look
        self._since: dict[str, float] = {}
        """By the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._since)

    def update(self, new: Set[str], *, may_stay: Callable[[str], bool]) -> None:
        """Add those that have just ceased to be needed, and leave out what is over."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key in new:
            self._since.setdefault(key, now)
        self._since = {
            key: since
            for key, since in self._since.items()
            if may_stay(key) and now - since < self._seconds(key)
        }
        if self._timer is not None:
            self._timer.cancel()
        if self._since:
            due = min(self._since.values()) + SWITCH_SECONDS + _TIMER_SECONDS
            self._timer = loop.call_at(due if due > now else now + _LOOK_SECONDS, self._look)

    def forget(self, key: str) -> None:
        """One has ended."""
        self._since.pop(key, None)

    def _seconds(self, key: str) -> float:
        return self._call_seconds if self._is_busy(key) else SWITCH_SECONDS
