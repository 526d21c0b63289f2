"""Converts node outputs to plain JSON of bounded size. Pure."""

from __future__ import annotations

import math
from typing import Any

import orjson

from gateway.flows.node_types.handler import NodeError

_PREVIEW_BYTES = 1024
_MAX_MARKER_BYTES = 4 * 1024
"""Upper bound of a truncation marker with its preview, escapes included."""
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def to_plain_json(value: Any) -> tuple[Any, int, tuple[str, ...]]:
    """Return a node's output as JSON, its length in bytes, and notes about changed values.

    Any: what a node returned. NaN and infinities, which JSON does not have, become null.

    Raises:
        NodeError: the output is not JSON-serializable.
    """
    written, notes = dump_json(value)
    return orjson.loads(written) if notes else value, len(written), notes


def dump_json(value: Any) -> tuple[bytes, tuple[str, ...]]:
    """Return a node's output as `to_plain_json` does, serialized."""
    try:
        written = orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        raise NodeError("invalid_output", f"the output is not JSON-serializable: {error}") from None
    # orjson writes NaN as null: only outputs with a null have to be searched for it.
    count = _count_non_finite(value) if b"null" in written else 0
    note = f"{count} values were NaN or infinite and are shown as null"
    return written, (note,) if count else ()


def truncated(value: Any, length: int, room: int) -> tuple[Any, int]:
    """Return `value` and its `length`; a marker and its length if that exceeds `room`."""
    if length <= room:
        return value, length
    marker: dict[str, Any] = {"truncated": True, "bytes": length}
    if room > _MAX_MARKER_BYTES:
        marker["preview"] = orjson.dumps(value, option=_OPTIONS)[:_PREVIEW_BYTES].decode(
            errors="ignore"
        )
    return marker, len(orjson.dumps(marker))


def _count_non_finite(value: Any) -> int:
    """Count NaN and infinite numbers."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return sum(map(_count_non_finite, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_count_non_finite, value))
    return 0
