"""The two pipes to the parent process: what we tell it, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import threading

import orjson

_PARENT_DIED = 1


class StatusPipe:
    """Tells the parent, line by line as JSON, how far the process is."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **fields: object) -> None:
        """Write one line; without a parent that listens, nothing."""
        if self._descriptor is None:
            return
        line = orjson.dumps({"event": event, **fields}, option=orjson.OPT_APPEND_NEWLINE)
        # A parent that has stopped reading must not stop us; that it died is the lifeline's to say.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, line)


def exit_with_parent(lifeline: int) -> None:
    """End this process at once when the pipe `lifeline` is closed at its other end.

    A thread, because it must work while the event loop is busy.
    """

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(_PARENT_DIED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
