"""All limits of one gateway process."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from gateway.limits.call_limits import CallLimits
from gateway.limits.counter_store import CounterStore
from gateway.limits.failed_auth import FailedAuthLimit
from gateway.limits.quota_lease import RedisQuotaStore
from gateway.limits.rate_limiter import RateLimiter
from gateway.settings import Settings
from telemetry.instruments import Registry

_KEY_PREFIX = "slipstream/limits"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of authenticated calls, and of failed authentication."""

    rate_limiter: RateLimiter
    failed_auth: FailedAuthLimit
    store: RedisQuotaStore | None

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self.store is not None:
            await self.store.close()


def build_limits(settings: Settings, registry: Registry) -> RequestLimits:
    """Return the limits that the settings define; raise ValueError for a bad Redis URL."""
    rejections = registry.counter(
        "rate_limited_total", "Calls refused because a quota was used up.", ("policy",)
    )
    store = None
    if settings.rate_limit_url is not None:
        store = RedisQuotaStore(settings.rate_limit_url, prefix=_KEY_PREFIX, clock=monotonic)
    rate_limiter = RateLimiter(
        CounterStore(store, processes=settings.workers),
        rejections,
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
    failed_auth = FailedAuthLimit(
        # Its own store: addresses are easily varied, and must not displace the counters of keys.
        CounterStore(store, processes=settings.workers),
        rejections,
        per_minute=settings.failed_auth_per_minute,
    )
    return RequestLimits(rate_limiter=rate_limiter, failed_auth=failed_auth, store=store)
