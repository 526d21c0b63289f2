"""SIGINT, SIGTERM and SIGHUP, from the first moment on: the first means drain, the second now."""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the first signals can come before there is time to import asyncio
    import asyncio

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the requests to stop. Before `attach` the second one ends the process outright."""

    def __init__(self) -> None:
        self.count = 0
        self._numbers: tuple[signal.Signals, ...] = ()
        self._drain: asyncio.Event | None = None
        self._kill: asyncio.Event | None = None

    def install(self) -> None:
        """Take the signals over; call it before the first child is started."""
        # Under nohup a hang-up is to be ignored.
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._numbers = SIGNALS[:-1] if nohup else SIGNALS
        for number in self._numbers:
            signal.signal(number, self._early)

    def attach(
        self, loop: asyncio.AbstractEventLoop, *, drain: asyncio.Event, kill: asyncio.Event
    ) -> None:
        """Set `drain` on the first signal, be it already here, and `kill` on the second."""
        self._drain, self._kill = drain, kill
        for number in self._numbers:
            loop.add_signal_handler(number, self._count)
        self._set_events()

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ignore what still comes: everything has been stopped, and the loop is about to close."""
        for number in self._numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _early(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            # The lifeline takes the children along.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _count(self) -> None:
        self.count += 1
        self._set_events()

    def _set_events(self) -> None:
        if self._drain and self.count > 0:
            self._drain.set()
        if self._kill and self.count > 1:
            self._kill.set()
