"""Batched writes: items that arrive during a write are written together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

Item = TypeVar("Item")
Result = TypeVar("Result")

_OF_THE_DATABASE = (OSError, OperationalError, InterfaceError)
"""It is away, locked or full."""


class BatchWriter(Generic[Item, Result]):
    """Writes a single item at once, and items that arrive meanwhile in one transaction.

    `write` is atomic: it writes the whole batch and returns a result for each item, or raises and
    writes nothing. Then each is written alone, so that one that cannot be written fails nothing of
    others; not where the database is at fault, which would only be asked more often. For one event
    loop.
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
        """Return the result of writing `item`, or what that raised, later.

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
            await self._write_batch([self._waiting.popleft() for _ in range(size)])
        self._writing = None

    async def _write_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            if len(batch) > 1 and not isinstance(error, _OF_THE_DATABASE):
                for one in batch:
                    await self._write_batch([one])
                return
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
            return
        for (_, written), result in zip(batch, results, strict=True):
            if not written.done():  # its caller was not cancelled
                written.set_result(result)
