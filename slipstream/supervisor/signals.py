"""SIGINT, SIGTERM and SIGHUP: the first means drain, the second means stop at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the signals. Before `attach` the second one ends the process outright."""

    def __init__(self) -> None:
        self.count = 0
        self._numbers: tuple[signal.Signals, ...] = ()
        self._drain: asyncio.Event | None = None
        self._kill: asyncio.Event | None = None

    def install(self) -> None:
        """Install the handlers; call it before the first child is started."""
        # nohup ignores SIGHUP, and so do we then.
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._numbers = SIGNALS[:-1] if nohup else SIGNALS
        for number in self._numbers:
            signal.signal(number, self._early)

    def attach(
        self, loop: asyncio.AbstractEventLoop, *, drain: asyncio.Event, kill: asyncio.Event
    ) -> None:
        """Set `drain` on the first signal, even if it came before, and `kill` on the second."""
        self._drain, self._kill = drain, kill
        for number in self._numbers:
            loop.add_signal_handler(number, self._count)
        self._set_events()

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ignore further signals: everything has been stopped, and the loop is about to close."""
        for number in self._numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _early(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            # The children end with their lifeline.
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


async def run_until_stopped(
    work: Awaitable[object],
    signals: StopSignals,
    *,
    drain: Callable[[], Coroutine[Any, Any, None]],
    kill: Callable[[], None],
) -> None:
    """Run `work` until it ends or a signal comes, then `drain`; a second signal calls `kill`.

    Raises what `work` raises. Any: nothing is sent into the coroutine.
    """
    loop, stop, stop_now = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    signals.attach(loop, drain=stop, kill=stop_now)
    running = asyncio.ensure_future(work)
    await _first_of(running, stop)
    draining = asyncio.create_task(drain())
    await _first_of(draining, stop_now)
    if stop_now.is_set():
        kill()
    await draining
    signals.detach(loop)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _first_of(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Return when the work has ended or the event is set; raise nothing of the work's."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
