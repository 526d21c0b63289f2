"""Long computations on the event loop, in pieces between which it goes on. Pure.

For what no other process can do, as sending the values there costs as much, and no thread, as
orjson holds the interpreter's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import monotonic
from typing import TypeVar

_MAX_TURN = 0.001
"""Seconds after which others have their turn; a piece should take a fraction of that."""

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Yields after each piece, and returns the result."""


async def in_turns(steps: Steps[T]) -> T:
    """Return the result of `steps`; raises as they do."""
    turn_ends_at = monotonic() + _MAX_TURN
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        if monotonic() >= turn_ends_at:
            await asyncio.sleep(0)
            turn_ends_at = monotonic() + _MAX_TURN
