"""Batched writes: items that arrive during a write are written together in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BatchWriter(Generic[Item]):
    """Writes a single item at once, and items that arrive meanwhile in one transaction.

    `write` is atomic: it writes the whole batch, or raises and writes nothing. For one event loop.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], Awaitable[None]], *, max_batch: int = 100
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> None:
        """Return when `item` is written; raise what the write of its batch raised.

        After a cancellation it is unknown whether the item is written.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="batch writer")
        await written

    async def _write_all(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._max_batch]
            del self._waiting[: self._max_batch]
            error: Exception | None = None
            try:
                await self._write([item for item, _ in batch])
            except Exception as caught:  # noqa: BLE001 - each caller gets it
                error = caught
            for _, written in batch:
                if written.done():  # its caller was cancelled
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
        self._writing = None
