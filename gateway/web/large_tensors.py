"""Large tensors in responses: written as JSON in parts, between which the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from gateway.steps import Steps, in_turns
from protos.json_tensors import dump_in_parts

LARGE_OUTPUT_BYTES = 1 << 20
"""Outputs of an inference, as the server sent them. Smaller ones take milliseconds to write."""


async def dump_large(value: object, dump: Callable[[object], bytes]) -> list[bytes]:
    """Return the parts of `dump(value)`, for what `protos.json_tensors.to_json` returned."""
    return await in_turns(_dumped(value, dump))


async def joined(parts: Iterable[bytes]) -> bytes:
    """Return the parts as one: on a thread, as `join` releases the interpreter's lock."""
    return await asyncio.to_thread(b"".join, parts)


def _dumped(value: object, dump: Callable[[object], bytes]) -> Steps[list[bytes]]:
    parts: list[bytes] = []
    for part in dump_in_parts(value, dump):
        parts.append(part)
        yield
    return parts
