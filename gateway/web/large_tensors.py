"""Large tensors in responses: written as JSON in parts, between which the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from protos.json_tensors import dump_in_parts

LARGE_OUTPUT_BYTES = 1 << 20
"""Outputs of an inference, as the server sent them. Smaller ones take milliseconds to write."""


async def dump_large(value: object, dump: Callable[[object], bytes]) -> bytes:
    """Return `dump(value)`, for what `protos.json_tensors.to_json` returned."""
    parts: list[bytes] = []
    for part in dump_in_parts(value, dump):
        parts.append(part)
        await asyncio.sleep(0)
    return b"".join(parts)
