"""What a keeper tells of its children, written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from slipstream.supervisor.keeper import StatusLine
from slipstream.supervisor.process import Child


class Diary:
    """Writes down what happens, and lets a test wait for it."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.pids: list[int] = []
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition(self.entries):
                self._news.clear()
                await self._news.wait()

    def spawned(self, key: str, child: Child) -> None:
        self.pids.append(child.pid)
        self._write(f"{key} spawned")

    def said(self, key: str, line: StatusLine) -> None:
        self._write(f"{key} {line['event']}")

    def exited(self, key: str, *, asked: bool, how: str, retry_in: float) -> None:
        assert asked or retry_in > 0
        self._write(f"{key} {'stopped' if asked else 'crashed'}: {how}")

    def rested(self, key: str) -> None:
        self._write(f"{key} rests")

    def forgotten(self, key: str) -> None:
        self._write(f"{key} forgotten")

    def _write(self, entry: str) -> None:
        self.entries.append(entry)
        self._news.set()
