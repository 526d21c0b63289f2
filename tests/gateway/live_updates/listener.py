"""A client that reads a stream of live updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from tests.timing import TIMEOUT_SECONDS

EVENTS = "/node/events/"

Item = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    id: str
    name: str
    items: list[Item]


class Listener:
    """Reads events; a test that waits for one that never comes fails."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self._items: list[Item] = []

    async def event(self) -> Event:
        """Return the next event; raise StopAsyncIteration when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while "event" not in fields or "data" not in fields:
                name, _, value = (await anext(self._lines)).partition(": ")
                fields[name] = value
        data = orjson.loads(fields["data"])
        return Event(id=fields["id"], name=fields["event"], items=data.get("items", []))

    async def item(self, topic: str) -> Item:
        """Return the next change of a topic."""
        while True:
            for index, item in enumerate(self._items):
                if item["topic"] == topic:
                    return self._items.pop(index)
            self._items += (await self.event()).items

    async def ended(self) -> None:
        """Return when the stream has ended."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            async for _ in self._lines:
                pass


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, topics: str, **query: str
) -> AsyncIterator[Listener]:
    """Open a stream, and read its first event."""
    params = {"topics": topics, **query}
    async with client.stream("GET", EVENTS, params=params) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        listener = Listener(answer)
        assert (await listener.event()).name == "ready"
        yield listener
