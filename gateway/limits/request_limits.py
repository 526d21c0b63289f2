"""All limits of one gateway process, wired together as its settings say."""

from __future__ import annotations

from time import monotonic

from gateway.limits.call_limits import CallLimits
from gateway.limits.counter_store import CounterStore
from gateway.limits.failed_auth import FailedAuthLimit
from gateway.limits.quota_lease import RedisQuotaStore
from gateway.limits.rate_limiter import RateLimiter
from gateway.settings import Settings
from telemetry.instruments import Registry

_PREFIX = "slipstream/limits"


class RequestLimits:
    """Gates for those who are known, and patience with those who are not."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        """Raise ValueError where the URL of Redis cannot be used."""
        refusals = registry.counter(
            "rate_limited_total", "Calls refused because a quota was used up.", ("policy",)
        )
        url, processes = settings.rate_limit_url, settings.workers
        self._store = None
        if url is not None:
            self._store = RedisQuotaStore(url, prefix=_PREFIX, clock=monotonic)
        self.rate_limiter = RateLimiter(
            CounterStore(self._store, processes=processes),
            refusals,
            key_defaults=CallLimits(
                calls_per_minute=settings.key_calls_per_minute,
                calls_per_day=settings.key_calls_per_day,
                concurrent_runs=settings.key_concurrent_runs,
                polls_per_minute=settings.key_polls_per_minute,
            ),
            deployment_defaults=CallLimits(
                calls_per_minute=settings.deployment_calls_per_minute,
                calls_per_day=settings.deployment_calls_per_day,
                concurrent_runs=settings.deployment_concurrent_runs,
            ),
        )
        self.failed_auth = FailedAuthLimit(
            # apart from the others: addresses are anybody's to make up
            CounterStore(self._store, processes=processes),
            refusals,
            per_minute=settings.failed_auth_per_minute,
        )

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._store is not None:
            await self._store.close()
