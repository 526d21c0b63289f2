"""The request header `X-Request-Timeout`: how long a caller waits for the result."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Header

from gateway.errors import GatewayError
from protos.errors import ErrorCode

REQUEST_TIMEOUT_HEADER = b"x-request-timeout"
"""Seconds, such as `0.25`."""

RequestTimeout = Annotated[
    float | None,
    Header(
        gt=0,
        description=(
            "Time limit of the call, and of a run that it starts, in seconds, such as 0.25. It has "
            "no effect where it exceeds that of the deployment or the installation."
        ),
    ),
]
"""The header in the OpenAPI document, as the parameter `x_request_timeout`."""


def parse_request_timeout(given: bytes) -> float:
    """Return the header's seconds.

    Raises:
        GatewayError: INVALID_REQUEST where it is no positive number.
    """
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        shown = given.decode("latin-1")[:40]
        message = f"X-Request-Timeout: expected seconds such as 0.25, got '{shown}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return seconds
