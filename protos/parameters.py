"""Parameters of requests and answers by which gateway and inference server understand each other.

`timeout` is Triton's (extension_schedule_policy.md), the others are ours.
"""

from __future__ import annotations

from protos import open_inference_pb2 as pb

TIMEOUT = "timeout"
"""Microseconds that the answer may take, from when the request is read (int64)."""
CANCEL = "slipstream-cancel"
"""The request is none: it says that nobody waits for the call of this id any more (bool)."""
CANCELLATION = "slipstream_cancellation"
"""The extension by which a server says that it understands CANCEL."""
QUEUE_SECONDS = "slipstream-queue-seconds"
"""Seconds between a call's being read and its run's beginning (double)."""
INFER_SECONDS = "slipstream-infer-seconds"
"""Seconds in ONNX Runtime (double)."""


def timeout_seconds(request: pb.ModelInferRequest) -> float | None:
    """Return the seconds that the caller gives the call; None where it does not say."""
    if TIMEOUT not in request.parameters:
        return None
    timeout_microseconds = request.parameters[TIMEOUT].int64_param
    return timeout_microseconds / 1e6 if timeout_microseconds > 0 else None


def timeout_microseconds(timeout: float) -> int:
    """Return `timeout` seconds as TIMEOUT, rounded up so that calls alike have the same bytes."""
    grain = 10_000 if timeout > 0.1 else 1_000  # noqa: PLR2004 - µs, a tenth or less of the time
    return max(1, -round(-timeout * 1e6 // grain)) * grain


def min_timeout(first: float | None, second: float | None) -> float | None:
    """Return the shorter of two times; None is no limit."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
