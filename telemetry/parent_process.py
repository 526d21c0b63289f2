"""The two pipes to the parent process: our status, and a lifeline that closes when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Mapping

import orjson

_PARENT_DIED = 1
HEARTBEAT_SECONDS = 1.0
"""Between two heartbeats."""
STOP_ANNOUNCED = signal.SIGWINCH
"""Tells a gateway that a SIGTERM is going to follow which ends it for good. A process that does not
know it, as of an older release or at its start, ignores this signal; and as our children are in
process groups of their own, no terminal sends it to them."""
_MAX_LOG_TEXT = 600
"""Characters."""


class StatusPipe:
    """Reports events to the parent process as JSON lines."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **fields: object) -> None:
        """Write one line; without a parent that listens, do nothing."""
        if self._descriptor is None:
            return
        line = orjson.dumps({"event": event, **fields}, option=orjson.OPT_APPEND_NEWLINE)
        # A parent that no longer reads must not stop us; if it has died, the lifeline ends us
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, line)

    def forward_log(self, at: float, level: str, text: str) -> None:
        """Report a line of the log, of `at` in seconds since the epoch; from any thread.

        Where the pipe is full, the line is dropped: logging must not block.
        """
        # Up to PIPE_BUF bytes (4096) are written whole; JSON makes six of a byte at most.
        if self._descriptor is not None and _has_room(self._descriptor):
            self.send("log", at=at, level=level, text=text[:_MAX_LOG_TEXT])

    async def send_heartbeats(self, load: Callable[[], Mapping[str, object]] = dict) -> None:
        """Show once a second that the event loop runs, until cancelled.

        The parent replaces a process that has sent a heartbeat and then falls silent. Each has the
        fields that `load` returns.
        """
        if self._descriptor is None:
            return
        while True:
            # A parent that is suspended reads nothing: a full pipe must not block the loop.
            if _has_room(self._descriptor):
                self.send("heartbeat", **load())
            await asyncio.sleep(HEARTBEAT_SECONDS)


def _has_room(descriptor: int) -> bool:
    """Whether a pipe takes a short line without blocking."""
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    return bool(writable.poll(0))


def exit_with_parent(lifeline: int) -> None:
    """Exit this process at once when the other end of the pipe `lifeline` is closed.

    A thread, because it must work while the event loop is busy.
    """

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(_PARENT_DIED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
