"""Durations without what a busy machine has taken away: a bound means the same on any machine.

The kernel counts how long each thread was ready to run and had no processor. Those seconds, of this
process and all below it, are not the code's: a period is allowed so many more. On an idle machine
the bound is strict.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0
"""How long to wait for an event that must come, in all tests: only a failure takes so long."""
_MAX_SLOWDOWN = 10
"""No machine excuses more than that: threads wait at the same time, so their sum says too much."""
_STEAL = 8
"""Column of /proc/stat with the time in which the host ran other machines."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Timer:
    """A period that begins now: `timer = Timer()`, and after it `assert timer.seconds < 2`."""

    def __init__(self) -> None:
        self._waited = _waited_nanoseconds()
        self._stolen = _stolen_seconds()
        self._began = time.monotonic()

    def __repr__(self) -> str:
        return f"<a timer at {self.elapsed:.3f} s by the clock>"

    @property
    def elapsed(self) -> float:
        """Seconds so far by the clock: for lower bounds."""
        return time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """Seconds so far, less those in which there was no processor for us: for upper bounds."""
        elapsed = self.elapsed
        before = self._waited
        waited = sum(now - before.get(thread, 0) for thread, now in _waited_nanoseconds().items())
        stolen = _stolen_seconds() - self._stolen
        return max(elapsed / _MAX_SLOWDOWN, elapsed - waited / 1e9 - stolen)


class Clock:
    """Time that passes when a test says so: for code that takes its clock as an argument."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._began = datetime.now(UTC)

    def __call__(self) -> float:
        """Return the seconds since its creation."""
        return self._seconds

    def now(self) -> datetime:
        """Return the same as a moment, in UTC."""
        return self._began + timedelta(seconds=self._seconds)

    def advance(self, seconds: float = 0.0, *, hours: float = 0.0) -> None:
        """Let time pass."""
        self._seconds += seconds + 3600 * hours


def eventually(look: Callable[[], T], good: Callable[[T], object] = bool) -> T:
    """Wait until `good` accepts what `look` returns; return that.

    To look takes a quarter of the time at most: what is waited for needs the processor, too.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        began = time.monotonic()
        if good(found := look()):
            return found
        now = time.monotonic()
        assert now < deadline, found
        # 50 ms are within the poll limit of a key
        time.sleep(min(max(0.05, 3 * (now - began)), 0.5))


def pause(seconds: float) -> None:
    """Give what runs below us so much time, however busy the machine is."""
    timer = Timer()
    while (left := seconds - timer.seconds) > 0:
        time.sleep(left)


def _waited_nanoseconds() -> dict[str, int]:
    """Return how long each thread of this process and its descendants has waited to run.

    Threads that end in a period are not counted. Without Linux there are none: bounds are strict.
    """
    waited: dict[str, int] = {}
    processes = ["self"]
    while processes:
        with suppress(OSError):  # it has ended
            for thread in Path("/proc", processes.pop(), "task").iterdir():
                with suppress(OSError):
                    waited[thread.name] = int((thread / "schedstat").read_text().split()[1])
                    processes += (thread / "children").read_text().split()
    return waited


def _stolen_seconds() -> float:
    try:
        with Path("/proc/stat").open() as lines:
            return int(next(lines).split()[_STEAL]) / _TICKS_PER_SECOND
    except OSError:
        return 0.0
