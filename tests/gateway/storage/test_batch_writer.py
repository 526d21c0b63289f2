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

    async def write(self, items: Sequence[int]) -> None:
        self.batches.append(list(items))
        await self.open.wait()
        if 13 in items:
            raise ValueError("13")


async def test_what_comes_during_a_write_is_written_with_the_next() -> None:
    slow = _Slow()
    gathering = BatchWriter(slow.write, most=3)
    puts = [asyncio.create_task(gathering.put(n)) for n in range(6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in puts)
    slow.open.set()
    await asyncio.gather(*puts)
    assert [n for batch in slow.batches for n in batch] == list(range(6))
    assert max(len(batch) for batch in slow.batches) == 3
    await gathering.put(6)
    assert slow.batches[-1] == [6]


async def test_a_batch_that_fails_fails_for_those_in_it_only() -> None:
    slow = _Slow()
    gathering = BatchWriter(slow.write, most=2)
    slow.open.set()
    results = await asyncio.gather(
        *(gathering.put(n) for n in (13, 1, 2, 3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [ValueError, ValueError, type(None), type(None)]
    with pytest.raises(ValueError, match="13"):
        await gathering.put(13)


async def test_who_has_gone_keeps_nobody_waiting() -> None:
    slow = _Slow()
    gathering = BatchWriter(slow.write)
    gone, stays = (asyncio.create_task(gathering.put(n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    slow.open.set()
    await stays
    assert sorted(n for batch in slow.batches for n in batch) == [1, 2]
