"""Batched writes: items that arrive during a write are written together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchWriter(Generic[Item, Result]):
    """Writes a single item at once, and items that arrive meanwhile in one transaction.

    `write` is atomic: it writes the whole batch and returns a result for each item, or raises and
    writes nothing. For one event loop.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_batch: int = 100,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Return the result of writing `item`, or what the write of its batch raised, later.

        After a cancellation it is unknown whether the item is written.
        """
        written: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="batch writer")
        return written

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is being written or waits, for some seconds at most."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=seconds)

    async def _write_all(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            results: Sequence[Result] = ()
            error: Exception | None = None
            try:
                results = await self._write([item for item, _ in batch])
            except Exception as caught:  # noqa: BLE001 - each caller gets it
                error = caught
            for number, (_, written) in enumerate(batch):
                if written.done():  # its caller was cancelled
                    continue
                if error is None:
                    written.set_result(results[number])
                else:
                    written.set_exception(error)
        self._writing = None
