"""Records what a process manager reports about its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.status_reader import StatusLine
from tests.timing import TIMEOUT_SECONDS


class EventLog:
    """A ProcessListener that records events and lets a test wait for them."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.pids: list[int] = []
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition(self.entries):
                self._changed.clear()
                await self._changed.wait()

    def spawned(self, key: str, child: ChildProcess) -> None:
        self.pids.append(child.pid)
        self._write(f"{key} spawned")

    def reported(self, key: str, line: StatusLine) -> None:
        self._write(f"{key} {line['event']}")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        assert requested or retry_in > 0
        self._write(f"{key} {'stopped' if requested else 'crashed'}: {reason}")

    def exited_idle(self, key: str) -> None:
        self._write(f"{key} idle")

    def removed(self, key: str) -> None:
        self._write(f"{key} forgotten")

    def _write(self, entry: str) -> None:
        self.entries.append(entry)
        self._changed.set()
