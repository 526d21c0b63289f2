"""Timers of one connection: named ones, and the one that asks a silent peer for a sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Timers that are set again and again, each under its name."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in `seconds`, instead of what was set under the name before."""
        self.clear(name)
        self._handles[name] = self._loop.call_later(seconds, action)

    def clear(self, *names: str) -> None:
        """Take timers back; names that are not set do no harm."""
        for name in names:
            handle = self._handles.pop(name, None)
            if handle is not None:
                handle.cancel()

    def clear_all(self) -> None:
        """Take every timer back."""
        self.clear(*list(self._handles))


class Keepalive:
    """Notices that a peer is gone although its socket is not.

    Args:
        seconds: of silence after which `ask` is called; as long again, and `give_up` is.
    """

    def __init__(
        self, seconds: float, *, ask: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self.heard = True
        """To be set whenever anything arrives."""
        self._seconds = seconds
        self._ask = ask
        self._give_up = give_up
        self._asked = False

    def start(self, timers: Timers) -> None:
        """Begin; ends when the timers are cleared."""
        timers.set("keepalive", self._seconds, lambda: self._tick(timers))

    def _tick(self, timers: Timers) -> None:
        if self.heard:
            self._asked = False
        elif self._asked:
            self._give_up()
            return
        else:
            self._asked = True
            self._ask()
        self.heard = False
        self.start(timers)
