"""Outcomes of the calls of one load: cheap to record, summarised when the load is over."""

from __future__ import annotations

import re
from array import array
from collections import Counter

import orjson

_MODEL_TIMES = re.compile(rb"\b(infer|queue);dur=([\d.]+)")
_MILLISECOND = 1e-3

FailureKey = tuple[int | None, str | None]
"""HTTP status, or None without a response; error code, or None where the body has none."""


class Samples:
    """Latencies of successful calls, and counts of failed ones.

    Attributes:
        latencies: seconds until the last byte of each 2xx response.
        infer: seconds of model time, from responses with Server-Timing.
        queue: seconds that calls waited for the model, likewise.
        failures: calls without a 2xx response.
        without_retry_after: 429 responses that lack a Retry-After header.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Discard everything recorded so far, at the end of the warm-up."""
        self.latencies = array("d")
        self.infer = array("d")
        self.queue = array("d")
        self.failures: Counter[FailureKey] = Counter()
        self.without_retry_after = 0

    def add_success(self, seconds: float, server_timing: bytes) -> None:
        """Record a 2xx response with its Server-Timing header, which may be empty."""
        self.latencies.append(seconds)
        for name, milliseconds in _MODEL_TIMES.findall(server_timing):
            times = self.infer if name == b"infer" else self.queue
            times.append(float(milliseconds) * _MILLISECOND)

    def add_error(self, status: int, body: bytes, *, retry_after: bool = True) -> None:
        """Record a response with another status."""
        self.failures[status, error_code(body)] += 1
        if status == 429 and not retry_after:  # noqa: PLR2004 - too many requests
            self.without_retry_after += 1

    def add_connection_failure(self, code: str) -> None:
        """Record a call, or an attempt to connect, without a response."""
        self.failures[None, code] += 1


def error_code(body: bytes) -> str | None:
    """Return the `code` of an error body, or None where it has none, as under /v2."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else None
