"""Runs coroutines side by side, and leaves none behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(*work: Coroutine[Any, Any, None]) -> None:
    """Return when all have ended. If one fails, cancel the others and raise its exception.

    A cancelled `asyncio.gather` ends with its first child, and the loop then closes around the
    others. Any: nothing is sent into the coroutines.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
