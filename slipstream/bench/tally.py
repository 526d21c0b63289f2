"""What the callers saw, as they see it: cheap to write, read when the load is over."""

from __future__ import annotations

import re
from array import array
from collections import Counter

import orjson

_MODEL_TIMES = re.compile(rb"\b(infer|queue);dur=([\d.]+)")
_MILLISECOND = 1e-3

What = tuple[int | None, str | None]
"""HTTP status, where there was an answer; error code, where one is known."""


class Tally:
    """Every answer's time, and how many calls failed of what.

    Attributes:
        latencies: seconds from writing the call to the last byte of a 2xx answer.
        infer: seconds that the model took, of the answers that say so.
        queue: seconds that the call waited for the model, likewise.
        failures: calls that got no 2xx answer.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything: the warm-up is over."""
        self.latencies = array("d")
        self.infer = array("d")
        self.queue = array("d")
        self.failures: Counter[What] = Counter()

    def answered(self, seconds: float, server_timing: bytes) -> None:
        """Count a call that succeeded, with its Server-Timing header, empty where it had none."""
        self.latencies.append(seconds)
        for name, milliseconds in _MODEL_TIMES.findall(server_timing):
            times = self.infer if name == b"infer" else self.queue
            times.append(float(milliseconds) * _MILLISECOND)

    def refused(self, status: int, body: bytes) -> None:
        """Count an answer that is no success."""
        self.failures[status, code_of(body)] += 1

    def broken(self, code: str) -> None:
        """Count a call, or an attempt to connect, without an answer."""
        self.failures[None, code] += 1


def code_of(body: bytes) -> str | None:
    """Return the `code` of an error's body, where it has one (/v2 has none)."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else None
