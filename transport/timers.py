"""Timers of one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Named timers, each of which may be set repeatedly."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in `seconds`; replaces the timer that has this name."""
        self.clear(name)
        self._handles[name] = self._loop.call_later(seconds, action)

    def clear(self, *names: str) -> None:
        """Cancel timers; names that are not set are ignored."""
        for name in names:
            handle = self._handles.pop(name, None)
            if handle is not None:
                handle.cancel()

    def clear_all(self) -> None:
        """Cancel every timer."""
        self.clear(*list(self._handles))


class Keepalive:
    """Detects a peer that is gone although its socket is still open.

    Args:
        seconds: of silence after which `probe` is called, and after as long again `on_timeout`.
    """

    def __init__(
        self, seconds: float, *, probe: Callable[[], None], on_timeout: Callable[[], None]
    ) -> None:
        self.received = True
        """Set by the connection whenever anything arrives."""
        self._seconds = seconds
        self._probe = probe
        self._on_timeout = on_timeout
        self._probed = False

    def start(self, timers: Timers) -> None:
        """Schedule the next check; it is cancelled when the timers are cleared."""
        timers.set("keepalive", self._seconds, lambda: self._check(timers))

    def _check(self, timers: Timers) -> None:
        if self.received:
            self._probed = False
        elif self._probed:
            self._on_timeout()
            return
        else:
            self._probed = True
            self._probe()
        self.received = False
        self.start(timers)
