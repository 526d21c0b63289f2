"""SIGINT and SIGTERM: the first means drain, the second means stop at once. SIGHUP means reload.

Where nothing can reload, and when the terminal is closed, SIGHUP means what SIGTERM means; nohup
has a closed terminal ignored.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

from slipstream.settings import take_variable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TERMINAL = "/dev/tty"
_PIPE = "_SLIPSTREAM_SIGNALS"
"""Variable with the descriptor that a successor reads its predecessor's last signals from."""
_MAX_PASSED = 4096


class StopSignals:
    """Counts the signals. Before `attach` the second one ends the process outright."""

    def __init__(self, *, reloads: bool = False, count: int = 0) -> None:
        """With `reloads`, SIGHUP sets `reload`; `count` signals have come before."""
        self.count = count
        self.reload = asyncio.Event()
        """Set by each SIGHUP."""
        self._reloads = reloads
        self._held = False
        self._nohup = False
        self._terminal = False
        self._pipe = -1
        self._drain: asyncio.Event | None = None
        self._kill: asyncio.Event | None = None
        self._wait: asyncio.Event | None = None
        """Set by the next signal, while `wait` waits."""

    def install(self) -> None:
        """Install the handlers; call it before the first child is started."""
        self._nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._terminal = _has_terminal()
        for number in SIGNALS:
            signal.signal(number, self._early)
        # a library's signals are told to the pipe, too
        self.count += sum(self._stops(each) for each in _passed_signals() if each in SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def hold(self) -> None:
        """Have signals wait for a successor: the program that replaces this one calls `install`.

        Those that this thread blocks wait in the kernel. But other threads take them, too, and
        tell the event loop, which might not hear of it before it ends: they are told to a pipe that
        the successor reads.
        """
        self._held = True
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._pipe, told = os.pipe()
        for each in (self._pipe, told):
            os.set_blocking(each, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def passed_on(self) -> dict[str, str]:
        """Return variables for the successor, after `hold`."""
        os.set_inheritable(self._pipe, True)
        return {_PIPE: str(self._pipe)}

    def attach(
        self, loop: asyncio.AbstractEventLoop, *, drain: asyncio.Event, kill: asyncio.Event
    ) -> None:
        """Set `drain` on the first signal, even if it came before, and `kill` on the second."""
        self._drain, self._kill = drain, kill
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        self._set_events()

    async def wait(self, seconds: float) -> None:
        """Wait before what drains drains: the next signal ends that, and does not count."""
        if self.count > 1:
            return
        self._wait = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wait.wait()
        self._wait = None

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ignore further signals: everything has been stopped, and the loop is about to close."""
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _early(self, number: int, _frame: FrameType | None) -> None:
        if not self._stops(number):
            return
        self.count += 1
        if self.count > 1:
            # The children end with their lifeline.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _on_signal(self, number: int) -> None:
        if not self._stops(number):
            return
        if self._wait is not None and not self._wait.is_set():
            self._wait.set()
        else:
            self.count += 1
            self._set_events()

    def _stops(self, number: int) -> bool:
        """Whether the signal means to stop; else it is a reload, or means nothing."""
        if number != signal.SIGHUP:
            return True
        if self._terminal and not _has_terminal():  # it was closed
            return not self._nohup
        if self._reloads:
            self.reload.set()
            return False
        return not self._nohup

    def _set_events(self) -> None:
        if self._held:
            return
        if self._drain and self.count > 0:
            self._drain.set()
        if self._kill and self.count > 1:
            self._kill.set()


def _passed_signals() -> bytes:
    """Return the numbers of signals that other threads of a predecessor have taken."""
    pipe = take_variable(_PIPE)
    if pipe is None:
        return b""
    with os.fdopen(int(pipe), "rb", buffering=0) as passed:
        return passed.read(_MAX_PASSED) or b""  # the other end has closed


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal, which is gone when it was closed."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


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
