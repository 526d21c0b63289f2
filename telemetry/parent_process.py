"""The two pipes to the parent process: our status, and a lifeline that closes when it dies."""

from __future__ import annotations

import contextlib
import os
import threading

import orjson

_PARENT_DIED = 1


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


def exit_with_parent(lifeline: int) -> None:
    """Exit this process at once when the other end of the pipe `lifeline` is closed.

    A thread, because it must work while the event loop is busy.
    """

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(_PARENT_DIED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
