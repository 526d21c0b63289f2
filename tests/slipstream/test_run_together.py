"""Coroutines that run side by side end together."""

from __future__ import annotations

import asyncio

import pytest

from slipstream.supervisor.run_together import run_together


class Work:
    """Ends some turns of the loop after it is cancelled."""

    def __init__(self) -> None:
        self.cancellations = 0
        self.ended = False

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    self.cancellations += 1
            self.ended = True


async def idle() -> None:
    """Run until cancelled, and end at once."""
    await asyncio.Event().wait()


async def fail() -> None:
    """Raise after a turn of the loop."""
    await asyncio.sleep(0)
    raise ValueError("of one")


async def test_a_cancelled_group_ends_after_the_slowest_and_cancels_it_once() -> None:
    slow = Work()
    task = asyncio.create_task(run_together(slow.run(), idle()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.ended
    assert not slow.cancellations


async def test_a_failure_ends_the_others_and_is_raised_itself() -> None:
    slow = Work()
    with pytest.raises(ValueError, match="of one"):
        await run_together(slow.run(), fail())
    assert slow.ended
