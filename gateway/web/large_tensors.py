"""Large tensors in responses: written as JSON in parts, between which the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable

from gateway.steps import Steps, in_turns
from protos.json_tensors import dump_in_parts

LARGE_OUTPUT_BYTES = 1 << 20
"""Outputs of an inference, as the server sent them. Smaller ones take milliseconds to write."""


async def dump_large(value: object, dump: Callable[[object], bytes]) -> bytes:
    """Return `dump(value)`, for what `protos.json_tensors.to_json` returned."""
    return await in_turns(_joined(value, dump))


def _joined(value: object, dump: Callable[[object], bytes]) -> Steps[bytes]:
    parts: list[bytes] = []
    for part in dump_in_parts(value, dump):
        parts.append(part)
        yield
    return b"".join(parts)
