"""The limits of a gateway process, without the gateway."""

from __future__ import annotations

from typing import Any

from gateway.errors import GatewayError
from gateway.limits import request_limits
from gateway.limits.call_limits import CallLimits
from gateway.limits.rate_limit import RateLimit
from gateway.limits.request_limits import RequestLimits
from gateway.settings import Settings
from telemetry.instruments import Registry

KEY, DEPLOYMENT = "key-1", "deployment-1"


# Any: settings of all types
def build_limits(**settings: Any) -> RequestLimits:
    """Return the limits of a process with these settings."""
    return request_limits.build_limits(Settings(**settings), Registry())


def fast_limit(
    limits: RequestLimits, key: CallLimits | None, deployment: CallLimits | None = None
) -> RateLimit:
    """Return the limit of fast calls of DEPLOYMENT by KEY."""
    rate_limit = limits.rate_limiter.for_call(KEY, key, DEPLOYMENT, deployment)
    assert rate_limit is not None
    return rate_limit


async def rejection_of(rate_limit: RateLimit) -> GatewayError | None:
    """Make a call, and return its rejection."""
    try:
        await rate_limit.acquire()
    except GatewayError as rejection:
        return rejection
    rate_limit.release()
    return None


async def admitted_calls(rate_limit: RateLimit, calls: int) -> int:
    """Make that many calls, and return how many were admitted."""
    return sum([await rejection_of(rate_limit) is None for _ in range(calls)])
