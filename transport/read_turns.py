"""Connections that send much take turns, so that an event loop never reads many of them at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

LARGE_READ_BYTES = 128 * 1024
"""After such a read, a connection waits for its turn: uvloop would read on, 8 MiB in a turn."""

_ReadOn = Callable[[], None]
_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[_ReadOn]] = WeakKeyDictionary()


def read_on_in_turn(loop: asyncio.AbstractEventLoop, read_on: _ReadOn) -> None:
    """Call `read_on` when it is this connection's turn.

    In each turn of the loop, one of those that wait reads on. Of twenty, each with a body of
    20 MiB, a turn would read 5 MiB for some 5 ms, and a small call takes several turns. One
    connection alone reads as fast as without others.
    """
    waiting = _waiting.setdefault(loop, deque())
    if not waiting:
        loop.call_soon(_next, loop, waiting)
    waiting.append(read_on)


def _next(loop: asyncio.AbstractEventLoop, waiting: deque[_ReadOn]) -> None:
    try:
        waiting.popleft()()
    finally:
        if waiting:
            loop.call_soon(_next, loop, waiting)
