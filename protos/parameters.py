"""Parameters of inference requests and answers that carry control information.

`timeout` and `sequence_id` are Triton's (extension_schedule_policy.md, extension_sequence.md), the
others are Slipstream's.
"""

from __future__ import annotations

from collections.abc import Mapping

from protos import open_inference_pb2 as pb

TIMEOUT = "timeout"
"""Microseconds until the answer is due, counted from when the request is read (int64)."""
SEQUENCE_ID = "sequence_id"
"""Calls with the same one go to the same replica (string or int64; "" and 0: none)."""
CANCEL = "slipstream-cancel"
"""Not an inference request: cancels the call that has this id (bool)."""
CANCELLATION = "slipstream_cancellation"
"""The extension by which a server announces support for CANCEL."""
OWNER = "slipstream-owner"
"""Whom the caller's key belongs to (string). Gateways set it, and remove what a caller sent."""
TRACEPARENT, TRACESTATE = "slipstream-traceparent", "slipstream-tracestate"
"""The span that called, by W3C Trace Context (strings). Gateways set them for calls that are
sampled, and remove what a caller sent."""
OWNERS = "slipstream_owner"
"""The extension by which a server announces that calls share runs only with the same OWNER."""
QUEUE_SECONDS = "slipstream-queue-seconds"
"""Seconds from reading a call to the start of its execution (double)."""
INFER_SECONDS = "slipstream-infer-seconds"
"""Seconds in ONNX Runtime (double)."""

_TRACEPARENT_LENGTH = 55
_TRACE_HEADERS = ((TRACEPARENT, "traceparent"), (TRACESTATE, "tracestate"))
_MAX_ID_LENGTH = 256
_NOT_IDS = ("bool_param", "double_param")


def timeout_seconds(request: pb.ModelInferRequest) -> float | None:
    """Return the request's timeout in seconds; None if it has none."""
    if TIMEOUT not in request.parameters:
        return None
    timeout_microseconds = request.parameters[TIMEOUT].int64_param
    return timeout_microseconds / 1e6 if timeout_microseconds > 0 else None


def owner_of(request: pb.ModelInferRequest) -> str | None:
    """Return who the caller's key belongs to; None if the request does not say."""
    if OWNER not in request.parameters:
        return None
    return request.parameters[OWNER].string_param or None


def set_owner(request: pb.ModelInferRequest, owner: str | None) -> None:
    """Name the owner of the caller's key, in place of what the request says; None: no one."""
    request.parameters.pop(OWNER, None)
    if owner is not None:
        request.parameters[OWNER].string_param = owner


def set_trace(request: pb.ModelInferRequest, headers: Mapping[str, str]) -> None:
    """Name the span that calls, by its headers, in place of what the request says; {}: none."""
    for name, header in _TRACE_HEADERS:
        request.parameters.pop(name, None)
        if header in headers:
            request.parameters[name].string_param = headers[header]


def encoded_trace(headers: Mapping[str, str]) -> bytes:
    """Return what names the span that calls, by its headers, at the end of an encoded request.

    A reader of protobuf takes a parameter from anywhere in a message.
    """
    state = headers.get("tracestate")
    first = b"" if state is None else _encoded_parameter(TRACESTATE, state)
    return first + _TRACE_HEAD + headers["traceparent"].encode()


def split_trace(message: bytes) -> tuple[bytes, str | None]:
    """Return an encoded request without the `traceparent` at its end, and that; None: it has none.

    Elements of a tensor can look like one: what is left is then not a request.
    """
    end = len(message) - _TRACEPARENT_LENGTH
    start = end - len(_TRACE_HEAD)
    if start < 0 or not message.startswith(_TRACE_HEAD, start):
        return message, None
    return message[:start], message[end:].decode("latin-1")


def _encoded_parameter(name: str, value: str) -> bytes:
    parameter = pb.InferParameter(string_param=value)
    return pb.ModelInferRequest(parameters={name: parameter}).SerializeToString()


_TRACE_HEAD = _encoded_parameter(TRACEPARENT, "0" * _TRACEPARENT_LENGTH)[:-_TRACEPARENT_LENGTH]


def trace_of(request: pb.ModelInferRequest) -> tuple[str, str | None] | None:
    """Return the `traceparent` and `tracestate` of the span that called; None: it is not traced."""
    if TRACEPARENT not in request.parameters:
        return None
    state = request.parameters[TRACESTATE].string_param if TRACESTATE in request.parameters else ""
    return request.parameters[TRACEPARENT].string_param, state or None


def sequence_id(request: pb.ModelInferRequest) -> str | None:
    """Return the sequence that the request belongs to; None if it belongs to none.

    Raises:
        ValueError: it is neither text of at most 256 characters nor a whole number.
    """
    if SEQUENCE_ID not in request.parameters:
        return None
    given = request.parameters[SEQUENCE_ID]
    kind = given.WhichOneof("parameter_choice")
    value = getattr(given, kind) if kind else None
    if kind in _NOT_IDS or (isinstance(value, str) and len(value) > _MAX_ID_LENGTH):
        message = f"expected text of at most {_MAX_ID_LENGTH} characters or a whole number"
        raise ValueError(f"parameter '{SEQUENCE_ID}': {message}")
    return str(value) if value else None


def timeout_microseconds(timeout: float) -> int:
    """Return `timeout` seconds as TIMEOUT, rounded up so that similar calls have the same bytes."""
    grain = 10_000 if timeout > 0.1 else 1_000  # noqa: PLR2004 - µs, at most a tenth
    return max(1, -round(-timeout * 1e6 // grain)) * grain


def min_timeout(first: float | None, second: float | None) -> float | None:
    """Return the shorter of two timeouts; None means no limit."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
