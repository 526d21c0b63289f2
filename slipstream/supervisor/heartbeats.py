"""Detects processes that fall silent: stopped, blocked, or busy with something that never ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_CHECKS = 5
"""Per time-out, so that silence is noticed at most a fifth late."""


class HeartbeatWatch:
    """Calls `on_silence` for each key that was heard and then was silent for `seconds`.

    What has never been heard is not watched: a process that imports has no event loop yet. While
    this process itself does not run, because it or the whole machine is suspended, no time passes.
    """

    def __init__(self, seconds: float, on_silence: Callable[[str, float], None]) -> None:
        self._seconds = seconds
        self._on_silence = on_silence
        self._heard_at: dict[str, float] = {}

    def heard(self, key: str) -> None:
        """Record a heartbeat."""
        self._heard_at[key] = time.monotonic()

    def forget(self, key: str) -> None:
        """Do not watch `key` until it is heard again."""
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
        silent = [
            (key, now - heard_at)
            for key, heard_at in self._heard_at.items()
            if now - heard_at >= self._seconds
        ]
        for key, seconds in silent:
            self.forget(key)
            self._on_silence(key, seconds)
