"""Detects processes that fall silent: stopped, blocked, or busy with something that never ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.proc_stat import is_stopped

_CHECKS = 5
"""Per time-out, so that silence is noticed at most a fifth late."""


class HeartbeatWatch:
    """Calls `on_silence` for each key that is silent for `seconds`.

    A process that imports has no event loop yet: before its first heartbeat, only time in which a
    signal has stopped it counts. While this process itself does not run, because it or the whole
    machine is suspended, no time passes.
    """

    def __init__(self, seconds: float, on_silence: Callable[[str, float], None]) -> None:
        self._seconds = seconds
        self._on_silence = on_silence
        self._heard_at: dict[str, float] = {}
        self._starting: dict[str, int] = {}
        """Processes without a heartbeat yet, by key."""

    def started(self, key: str, pid: int) -> None:
        """Watch a process from its start on."""
        self._starting[key] = pid
        self._heard_at[key] = time.monotonic()

    def heard(self, key: str) -> None:
        """Record a heartbeat."""
        self._starting.pop(key, None)
        self._heard_at[key] = time.monotonic()

    def forget(self, key: str) -> None:
        """Do not watch `key` until it is started or heard again."""
        self._starting.pop(key, None)
        self._heard_at.pop(key, None)

    async def run(self) -> None:
        """Check, until cancelled."""
        interval = self._seconds / _CHECKS
        while True:
            slept_at = time.monotonic()
            await asyncio.sleep(interval)
            now = time.monotonic()
            late = now - slept_at - interval
            if late > interval:
                self._skip(late)
            else:
                self._check(now)

    def _skip(self, seconds: float) -> None:
        """Count `seconds` for none: heartbeats of that time may not have been read yet."""
        for key in self._heard_at:
            self._heard_at[key] += seconds

    def _check(self, now: float) -> None:
        for key, pid in self._starting.items():
            if not is_stopped(pid):
                self._heard_at[key] = now
        silent = [
            (key, now - heard_at)
            for key, heard_at in self._heard_at.items()
            if now - heard_at >= self._seconds
        ]
        for key, seconds in silent:
            self.forget(key)
            self._on_silence(key, seconds)
