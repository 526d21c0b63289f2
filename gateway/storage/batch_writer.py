"""Writes that gather: what comes while one is under way goes into the database with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BatchWriter(Generic[Item]):
    """Writes single items at once where they are few, and many in one transaction where not.

    `write` writes all of a batch, or raises and has written none. For one event loop.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], Awaitable[None]], *, most: int = 100
    ) -> None:
        self._write = write
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> None:
        """Return when `item` is written; raise what writing its batch raised.

        Whoever is cancelled meanwhile does not know: the item may be written all the same.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="gathered writes")
        await written

    async def _write_all(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._most]
            del self._waiting[: self._most]
            error: Exception | None = None
            try:
                await self._write([item for item, _ in batch])
            except Exception as caught:  # noqa: BLE001 - each caller gets it
                error = caught
            for _, written in batch:
                if written.done():  # its caller has gone
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
        self._writing = None
