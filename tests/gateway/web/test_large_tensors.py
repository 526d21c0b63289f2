"""The event loop goes on while a large output is written."""

from __future__ import annotations

import asyncio

import numpy as np

from gateway.web.large_tensors import in_parts, joined
from protos.datatypes import DATATYPES
from protos.json_tensors import dump_in_parts, dump_tensor


async def test_other_calls_go_on_between_the_parts() -> None:
    array = np.full((1, 4_000_000), 1.5, np.float32)
    raw = memoryview(array).cast("B")
    parts = dump_in_parts(raw, DATATYPES["FP32"], array.shape, dump_tensor, tensor="y")
    writing = asyncio.create_task(in_parts(parts))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 2
    assert await joined(await writing) == dump_tensor(array)
