"""Writes that gather."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from gateway.storage.batch_writer import BatchWriter


class _Slow:
    """A database that takes its time, and refuses one item."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self._error = error or ValueError("13")

    async def write(self, items: Sequence[int]) -> Sequence[str]:
        self.batches.append(list(items))
        await self.open.wait()
        if 13 in items:
            raise self._error
        return [str(item) for item in items]


async def test_items_that_arrive_during_a_write_are_written_with_the_next_one() -> None:
    slow = _Slow()
    writer = BatchWriter(slow.write, max_batch=3)
    puts = [writer.put(n) for n in range(6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in puts)
    slow.open.set()
    assert await asyncio.gather(*puts) == ["0", "1", "2", "3", "4", "5"]
    assert [n for batch in slow.batches for n in batch] == list(range(6))
    assert max(len(batch) for batch in slow.batches) == 3
    await writer.put(6)
    assert slow.batches[-1] == [6]


async def test_an_item_that_cannot_be_written_fails_nothing_of_others() -> None:
    slow = _Slow()
    writer = BatchWriter(slow.write)
    slow.open.set()
    results = await asyncio.gather(*(writer.put(n) for n in (1, 13, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [str, ValueError, str]
    assert slow.batches == [[1, 13, 2], [1], [13], [2]]
    with pytest.raises(ValueError, match="13"):
        await writer.put(13)


@pytest.mark.parametrize(
    "error", [TimeoutError("away"), OperationalError("", {}, Exception("database is locked"))]
)
async def test_a_database_that_is_away_is_not_asked_once_for_each_item(error: Exception) -> None:
    slow = _Slow(error)
    writer = BatchWriter(slow.write, max_batch=2)
    slow.open.set()
    results = await asyncio.gather(*(writer.put(n) for n in (13, 1, 2, 3)), return_exceptions=True)
    assert results == [error, error, "2", "3"]
    assert slow.batches == [[13, 1], [2, 3]]


async def test_a_cancelled_caller_does_not_delay_the_others() -> None:
    slow = _Slow()
    writer = BatchWriter(slow.write)
    gone, stays = (writer.put(n) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    slow.open.set()
    await stays
    assert sorted(n for batch in slow.batches for n in batch) == [1, 2]
