"""The last lines of the logs of the replicas of this host, written for all gateways to read."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.server_logs import MAX_LINES, LogLine, ServerLogStore
from slipstream.supervisor.log_pace import LogPace
from slipstream.supervisor.status_reader import StatusLine
from telemetry.redaction import redact_log

_SECONDS = 1.0
"""Between two looks at what is to be written: lines gather meanwhile."""
_BATCH = 32
"""Replicas per transaction."""
_MAX_TEXT = 1_000
"""Characters of a line."""


class ServerLogs:
    """Keeps lines in memory, and writes those of the replicas that have new ones.

    They are what the supervisor observes, and what the processes report of their own logs.
    """

    def __init__(self, store: ServerLogStore, host_id: str | None) -> None:
        """Write for a host."""
        self._store = store
        self._host_id = host_id
        self._lines: defaultdict[str, deque[LogLine]] = defaultdict(lambda: deque(maxlen=MAX_LINES))
        self._changed: set[str] = set()
        self._pace = LogPace()
        self._ended: set[str] = set()
        """Replicas whose lines are forgotten once they are written."""
        self._has_changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()

    def add(self, key: str, text: str, *, level: str = "info", at: float | None = None) -> None:
        """Add a line of a replica, of now, or of the time `at` in seconds since the epoch."""
        lines = self._lines[key]
        moment = int((time.time() if at is None else at) * 1e6)
        if lines:  # clocks may be set back
            moment = max(moment, lines[-1].at + 1)
        lines.append(LogLine(moment, level, redact_log(text)[:_MAX_TEXT]))
        self._changed.add(key)
        self._ended.discard(key)
        self._written.clear()
        self._has_changed.set()

    def forget(self, key: str) -> None:
        """A replica is no longer run here: forget its lines, once they are written."""
        if key in self._changed:
            self._ended.add(key)
        else:
            self._forget(key)

    def reported(self, key: str, line: StatusLine) -> None:
        """Add a line that a process has logged, see `StatusPipe.forward_log`."""
        self.add(key, str(line["text"]), level=str(line["level"]), at=float(line["at"]))

    async def run(self) -> None:
        """Write new lines, until cancelled."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            while due := self._due():
                await self._write(due[:_BATCH])
            if self._changed:
                self._has_changed.set()
            else:
                self._written.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS):
                    await self._hurry.wait()

    async def flush(self, seconds: float) -> None:
        """Return when everything is written, or after so many seconds; `run` must still run."""
        self._hurry.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._written.wait()

    def _due(self) -> list[str]:
        """Return whose lines are to be written now: the last ones of a replica do not wait."""
        if self._hurry.is_set():
            return sorted(self._changed)
        return sorted(key for key in self._changed if key in self._ended or self._pace.is_due(key))

    async def _write(self, keys: Sequence[str]) -> None:
        self._changed.difference_update(keys)
        lines = {key: tuple(self._lines[key]) for key in keys}
        try:
            await self._store.write(self._host_id, lines)
        except (SQLAlchemyError, OSError):  # the change feed logs it
            self._changed.update(key for key in keys if key in self._lines)
            await asyncio.sleep(_SECONDS)
            return
        for key in self._lines.keys() & keys:  # not those that were forgotten meanwhile
            self._pace.note_write(key)
        for key in self._ended.intersection(keys):
            if key not in self._changed:
                self._ended.discard(key)
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._lines.pop(key, None)
        self._pace.forget(key)
