"""Outputs of nodes as JSON of bounded size, with NaN and infinities. Pure, except that it waits."""

from __future__ import annotations

import json
from typing import Any

import orjson

from gateway.flows.json_parts import is_larger, json_parts
from gateway.flows.node_types.handler import NodeError
from gateway.steps import Steps, in_turns
from protos.errors import ErrorCode
from protos.non_finite import as_strings, find_non_finite

_PREVIEW_BYTES = 1024
_MAX_MARKER_BYTES = 4 * 1024
"""Upper bound of a truncation marker with its preview, escapes included."""
_MAX_NON_FINITE_BYTES = 1 << 20
"""Of values with NaN or infinities that go to an evaluator or come back. orjson does not read them,
and Python's `json` takes several times as long."""
_LARGE_BYTES = 1 << 18
"""Roughly, as `is_larger` estimates. Larger outputs are written in parts."""
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def check_json(value: Any) -> None:
    """Raise NodeError unless `value` (Any) is JSON-serializable."""
    _dump(value)


async def measure_json(value: Any) -> tuple[int, bool]:
    """Return the length of a node's output as JSON, in bytes, and whether it is `non_finite`.

    Any: what a node returned. NaN and infinities, which JSON does not have, count as null. The
    event loop goes on meanwhile.

    Raises:
        NodeError: the output is not JSON-serializable.
    """
    if is_larger(value, _LARGE_BYTES):
        return await in_turns(_measure(value))
    written = _dump(value)
    return len(written), _is_non_finite(value, written)


async def dump_json(value: Any) -> bytes:
    """Return an output (Any: JSON) in which NaN and infinities are null. As `measure_json`."""
    if is_larger(value, _LARGE_BYTES):
        return await in_turns(_joined(value))
    return _dump(value)


def dump_values(value: Any) -> bytes:
    """Return JSON (Any) for `load_values`. NaN and infinities are literals, as Python writes them.

    Raises:
        NodeError: it is not JSON-serializable, or has NaN or infinities and is too large.
    """
    written = _dump(value)
    if not _is_non_finite(value, written):
        return written
    if len(written) > _MAX_NON_FINITE_BYTES:
        message = (
            f"values with NaN or infinities take {len(written)} bytes, at most "
            f"{_MAX_NON_FINITE_BYTES} are passed to expressions and functions"
        )
        raise NodeError(ErrorCode.EVALUATION_LIMIT, message)
    return json.dumps(value, separators=(",", ":")).encode()


def load_values(written: bytes) -> Any:
    """Read what `dump_values` wrote, alone or within other JSON."""
    try:
        return orjson.loads(written)
    except orjson.JSONDecodeError:  # there are literals
        return json.loads(written)


def shown_json(value: Any) -> tuple[Any, int]:
    """Return a `non_finite` output as JSON has it, with strings, and its length in bytes."""
    shown = as_strings(value)
    return shown, len(orjson.dumps(shown, option=_OPTIONS))


def truncated(value: Any, length: int, room: int) -> tuple[Any, int]:
    """Return `value` and its `length`; a marker and its length if that exceeds `room`."""
    if length <= room:
        return value, length
    marker: dict[str, Any] = {"truncated": True, "bytes": length}
    if room > _MAX_MARKER_BYTES:
        marker["preview"] = _beginning(value).decode(errors="ignore")
    return marker, len(orjson.dumps(marker))


def _measure(value: Any) -> Steps[tuple[int, bool]]:
    length, non_finite = 0, False
    for part, written in json_parts(value, _dump):
        length += len(written)
        non_finite = non_finite or _is_non_finite(part, written)
        yield
    return length, non_finite


def _joined(value: Any) -> Steps[bytes]:
    parts: list[bytes] = []
    for _, written in json_parts(value, _dump):
        parts.append(written)
        yield
    return b"".join(parts)


def _beginning(value: Any) -> bytes:
    written = b""
    for _, part in json_parts(value, _dump):
        written += part
        if len(written) >= _PREVIEW_BYTES:
            break
    return written[:_PREVIEW_BYTES]


def _dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        raise NodeError("invalid_output", f"the output is not JSON-serializable: {error}") from None


def _is_non_finite(value: Any, written: bytes) -> bool:
    # orjson writes NaN as null: only outputs with a null have to be searched for it.
    return b"null" in written and find_non_finite(value) is not None
