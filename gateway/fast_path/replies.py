"""The response to a fast call: its body, and its head with where the time went.

The bodies are those of `gateway.runs.responses`. The output is serialised once. A small one is
copied into the body; to copy a large one would stop the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.deployments.settings import ResponseFormat
from gateway.metrics import STAGES
from gateway.runs.responses import MAX_REPEATED_BYTES, NOT_REPEATED_HINT

_START = b'{"status":"completed","output_data":'
_END = b',"fast_mode":true,"duration_seconds":%.6f'
_RECORDED_END = _END + b',"flow_run_id":"%b"'
_MESSAGE = b'"message":"Prediction completed."'
_LARGE_MESSAGE = b'"message":"Prediction completed.%b"' % NOT_REPEATED_HINT.encode()
_ENVELOPE = b'{"status":"success",' + _MESSAGE + b',"data":' + _START
_FLAT = _START + b"%b%b," + _MESSAGE + b',"data":' + _START + b"%b%b}}"

_TIMING = (
    b"auth;dur=%.3f, parse;dur=%.3f, queue;dur=%.3f, "
    b"infer;dur=%.3f, serialise;dur=%.3f, total;dur=%.3f"
)
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-content-type-options: nosniff\r\nx-request-id: %b\r\n"
    b"server-timing: " + _TIMING + b"\r\n"
)

Parts = tuple[bytes, ...]
"""A body, which is their concatenation."""


def fast_body(
    output_data: bytes, seconds: float, run_id: bytes | None, response_format: ResponseFormat
) -> Parts:
    """Return the response body; `output_data` is JSON already, `seconds` is the call's duration.

    `run_id` is that of a run which can be read from now on, or None.
    """
    end = _END % seconds if run_id is None else _RECORDED_END % (seconds, run_id)
    is_large = len(output_data) > MAX_REPEATED_BYTES
    if response_format is ResponseFormat.ENVELOPE:
        parts = (_ENVELOPE, output_data, end + b"}}")
        return parts if is_large else (b"".join(parts),)
    if is_large:
        return _START, output_data, b"%b,%b}" % (end, _LARGE_MESSAGE)
    return (_FLAT % (output_data, end, output_data, end),)


def fast_head(body: Parts, request_id: bytes, stages: Sequence[float], seconds: float) -> bytes:
    """Return the response head, up to the headers that only some calls have.

    `stages` are the seconds in each of `gateway.metrics.STAGES`; they become milliseconds in
    Server-Timing (W3C).
    """
    auth, parse, queue, infer, serialise = stages
    return _HEAD % (
        sum(map(len, body)),
        request_id,
        auth * 1e3,
        parse * 1e3,
        queue * 1e3,
        infer * 1e3,
        serialise * 1e3,
        seconds * 1e3,
    )


def server_timing(stages: Sequence[float], seconds: float, other: str) -> str:
    """Return the Server-Timing of an answered call; `other` is what its answer had of a run's."""
    if len(stages) == len(STAGES):
        return (_TIMING % (*(stage * 1e3 for stage in stages), seconds * 1e3)).decode()
    total = f"total;dur={seconds * 1e3:.3f}"
    return f"{other}, {total}" if other else total
