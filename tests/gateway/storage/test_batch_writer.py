"""Writes that gather."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.storage.batch_writer import BatchWriter


class _Slow:
    """A database that takes its time, and refuses one item."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()

    async def write(self, items: Sequence[int]) -> Sequence[str]:
        self.batches.append(list(items))
        await self.open.wait()
        if 13 in items:
            raise ValueError("13")
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


async def test_a_batch_that_fails_fails_for_those_in_it_only() -> None:
    slow = _Slow()
    writer = BatchWriter(slow.write, max_batch=2)
    slow.open.set()
    results = await asyncio.gather(*(writer.put(n) for n in (13, 1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError, str, str]
    with pytest.raises(ValueError, match="13"):
        await writer.put(13)


async def test_a_cancelled_caller_does_not_delay_the_others() -> None:
    slow = _Slow()
    writer = BatchWriter(slow.write)
    gone, stays = (writer.put(n) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    slow.open.set()
    await stays
    assert sorted(n for batch in slow.batches for n in batch) == [1, 2]
