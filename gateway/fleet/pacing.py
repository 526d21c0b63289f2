"""How often all servers are read again, where there are many of them."""

from __future__ import annotations

import asyncio

_SHORT_SECONDS = 0.05
_SHARE = 4.0
_MAX_SECONDS = 0.3


async def pause_after_read(seconds: float) -> None:
    """Wait after a read of all servers that took long, so that changes meanwhile share the next.

    A thousand servers that start are some thousand changes. To read a thousand rows after each
    would take the time, and the database's lock, that the servers need to start.
    """
    if seconds > _SHORT_SECONDS:
        await asyncio.sleep(min(_SHARE * seconds, _MAX_SECONDS))
