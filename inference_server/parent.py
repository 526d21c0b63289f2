"""The two pipes to the parent process: what we tell it, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import threading

import orjson

_PARENT_DIED = 1


class StatusLines:
    """Writes events as JSON lines to a pipe; without one, it writes nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def write(self, event: str, **fields: object) -> None:
        """Tell the parent that `event` happened."""
        if self._descriptor is None:
            return
        line = orjson.dumps({"event": event, **fields}, option=orjson.OPT_APPEND_NEWLINE)
        # A parent that has stopped reading must not stop us; that it died is the lifeline's to say.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, line)


def end_with_parent(lifeline: int) -> None:
    """End this process at once when the pipe `lifeline` is closed at its other end.

    A thread, because it must work while the event loop is busy with a run.
    """

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(_PARENT_DIED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
