"""Large tensors in responses: written as JSON in parts, between which the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.steps import Steps, in_turns

LARGE_OUTPUT_BYTES = 1 << 20
"""Outputs of an inference, as the server sent them. Smaller ones take milliseconds to write."""


async def in_parts(parts: Iterable[bytes]) -> list[bytes]:
    """Return parts that are made as they are taken, see `protos.json_tensors.dump_in_parts`.

    Raises what they raise.
    """
    return await in_turns(_taken(parts))


async def joined(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the parts as one: on a thread, as `join` releases the interpreter's lock."""
    return await asyncio.to_thread(b"".join, parts)


def _taken(parts: Iterable[bytes]) -> Steps[list[bytes]]:
    taken: list[bytes] = []
    for part in parts:
        taken.append(part)
        yield
    return taken
