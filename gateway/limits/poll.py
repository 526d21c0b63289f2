"""One look at runs: which has a bucket apart from calls."""

from __future__ import annotations

from gateway.limits.call_limits import CallLimits
from gateway.limits.rate_limit import Headers, RateLimit
from gateway.limits.rate_limiter import RateLimiter


class PollLimit:
    """What limits a request that only looks, and the headers that say so."""

    def __init__(self, rate_limiter: RateLimiter, key_id: str, limits: CallLimits | None) -> None:
        self.headers: Headers = []
        """For the answer, a refusal included."""
        self._rate_limiter = rate_limiter
        self._key_id = key_id
        self._limits = limits

    async def begin(self) -> None:
        """Count the look for the key; raise RATE_LIMITED where it may look no more."""
        await self._enter(self._rate_limiter.for_poll(self._key_id, self._limits))

    async def at(self, deployment_id: str, limits: CallLimits | None) -> None:
        """Count it for the deployment of the run, too; raise as `begin`."""
        if limits is not None:
            await self._enter(self._rate_limiter.for_deployment_poll(deployment_id, limits))

    async def _enter(self, rate_limit: RateLimit | None) -> None:
        if rate_limit is None:
            return
        try:
            await rate_limit.acquire()
        finally:
            self.headers += rate_limit.headers()
