"""Bodies of successful answers: `flat` as documented, or in an `envelope`.

The flat body carries its fields once more as `data`, which is what the documented Python sample
reads; the envelope is what the documented JavaScript sample reads. The inner object is serialised
once and spliced as bytes.
"""

from __future__ import annotations

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.metrics import Timings

_TWICE_BYTES = 64 * 1024
"""`output_data` above it is not carried twice."""
_START = b'{"status":"completed","output_data":'
_END = b',"fast_mode":true,"duration_seconds":%b,"flow_run_id":"%b"'
_MESSAGE = b'"message":"Prediction completed."'
_FLAT_MESSAGE = (
    b'"message":"Prediction completed. With response_format=envelope this answer has '
    b'the status success, and all of this in data."'
)
_ENVELOPE = b'{"status":"success",' + _MESSAGE + b',"data":' + _START
_TWICE = _START + b"%b%b," + _FLAT_MESSAGE + b',"data":' + _START + b"%b%b}}"

_SERVER_TIMING = (
    b"auth;dur=%.3f, parse;dur=%.3f, queue;dur=%.3f, "
    b"infer;dur=%.3f, serialise;dur=%.3f, total;dur=%.3f"
)


def fast_body(
    output_data: bytes, duration: float, run_id: str, response_format: ResponseFormat
) -> bytes:
    """Return the body of a fast answer; `output_data` is JSON already, `duration` is in seconds."""
    end = _END % (orjson.dumps(round(duration, 6)), run_id.encode())
    if response_format is ResponseFormat.ENVELOPE:
        return b"".join((_ENVELOPE, output_data, end, b"}}"))
    if len(output_data) > _TWICE_BYTES:
        return b"".join((_START, output_data, end, b",", _FLAT_MESSAGE, b"}"))
    return _TWICE % (output_data, end, output_data, end)


def server_timing(timings: Timings, total: float) -> bytes:
    """Return the value of a Server-Timing header, in milliseconds (W3C Server Timing)."""
    auth, parse, queue, infer, serialise = timings
    return _SERVER_TIMING % (
        auth * 1e3,
        parse * 1e3,
        queue * 1e3,
        infer * 1e3,
        serialise * 1e3,
        total * 1e3,
    )
