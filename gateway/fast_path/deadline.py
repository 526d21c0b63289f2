"""How long a call may take: what its deployment allows, or less where the caller says so."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gateway.errors import GatewayError
from protos.errors import ErrorCode

HEADER = b"x-request-timeout"
"""Seconds, such as `0.25`."""


def timeout_seconds(headers: Mapping[bytes, bytes], most: float) -> float:
    """Return the seconds that an answer may take, at most `most`.

    Raises:
        GatewayError: INVALID_REQUEST where the header is no positive number.
    """
    given = headers.get(HEADER)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        shown = given.decode("latin-1")[:40]
        message = f"X-Request-Timeout: expected seconds such as 0.25, got '{shown}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return min(seconds, most)
