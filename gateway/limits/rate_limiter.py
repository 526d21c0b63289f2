"""Finds the limits of a call with one look-up, or none if no limits apply."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.limits.call_limits import UNLIMITED, CallLimits, with_defaults
from gateway.limits.counter_store import CounterStore
from gateway.limits.gcra import ConcurrencyCounter, Quota
from gateway.limits.policy import DAY, MINUTE, ConcurrencyLimit, Policy
from gateway.limits.rate_limit import Headers, RateLimit
from telemetry.instruments import Counter, MetricFamily

_MAX_ENTRIES = 10_000

_LimitedSubjects = list[tuple[str, str, CallLimits]]
"""Kind, id, and the limits in force."""


@dataclass(frozen=True, slots=True)
class _CachedLimit:
    """A rate limit and the limits that it was built from."""

    rate_limit: RateLimit | None
    concurrency_limits: tuple[ConcurrencyLimit, ...]
    key_limits: CallLimits | None
    deployment_limits: CallLimits | None


class RateLimiter:
    """The limits of one process: of calls, of runs, of calls under `/v2`, and of polls."""

    def __init__(
        self,
        counters: CounterStore,
        rejections: MetricFamily[Counter],
        *,
        key_defaults: CallLimits = UNLIMITED,
        deployment_defaults: CallLimits = UNLIMITED,
    ) -> None:
        self._counters = counters
        self._rejections = rejections
        self._key_defaults = key_defaults
        self._deployment_defaults = deployment_defaults
        self.epoch = 0
        """Increases when counters were dropped: rate limits found before are stale."""
        self._cache: dict[tuple[str, str, str], _CachedLimit] = {}
        counters.on_dropped = self._clear

    def for_call(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> RateLimit | None:
        """Return the limit of fast calls, which includes those in progress; None: unlimited."""
        return self._find("fast", key_id, key_limits, deployment_id, deployment_limits).rate_limit

    def for_run(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> tuple[RateLimit | None, tuple[ConcurrencyLimit, ...]]:
        """Return the limit of sync and async calls, and the maxima of runs in progress."""
        found = self._find("run", key_id, key_limits, deployment_id, deployment_limits)
        return found.rate_limit, found.concurrency_limits

    def for_model_call(self, key_id: str, key_limits: CallLimits | None) -> RateLimit | None:
        """Return the limit of calls of models by name."""
        return self._find("fast", key_id, key_limits, "", None).rate_limit

    def for_poll(self, key_id: str, key_limits: CallLimits | None) -> RateLimit | None:
        """Return the limit of a key's reads of runs."""
        return self._find("poll", key_id, key_limits, "", None).rate_limit

    def for_deployment_poll(self, deployment_id: str, limits: CallLimits) -> RateLimit | None:
        """Return the limit of all reads of a deployment's runs."""
        return self._find("poll", "", None, deployment_id, limits).rate_limit

    def _find(
        self,
        kind: str,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> _CachedLimit:
        cache_key = kind, key_id, deployment_id
        found = self._cache.get(cache_key)
        # Comparing identity is enough: a changed key or deployment is a new object with new limits.
        if (
            found is not None
            and found.key_limits is key_limits
            and found.deployment_limits is deployment_limits
        ):
            return found
        if len(self._cache) >= _MAX_ENTRIES:
            self._cache.clear()
        subjects: _LimitedSubjects = []
        if key_id:
            subjects.append(("key", key_id, with_defaults(key_limits, self._key_defaults)))
        if deployment_id:
            limits = with_defaults(deployment_limits, self._deployment_defaults)
            subjects.append(("deployment", deployment_id, limits))
        built = self._build_polls(subjects) if kind == "poll" else self._build(kind, subjects)
        self._cache[cache_key] = _CachedLimit(*built, key_limits, deployment_limits)
        return self._cache[cache_key]

    def _build(
        self, kind: str, subjects: _LimitedSubjects
    ) -> tuple[RateLimit | None, tuple[ConcurrencyLimit, ...]]:
        quotas: list[Quota] = []
        in_progress: list[ConcurrencyCounter] = []
        maxima: list[ConcurrencyLimit] = []
        for subject_kind, subject, limits in subjects:
            for period, quota, window in (
                ("minute", limits.calls_per_minute, MINUTE),
                ("day", limits.calls_per_day, DAY),
            ):
                if quota:
                    policy = Policy(name=f"{subject_kind}-{period}", quota=quota, window=window)
                    quotas.append(self._counters.quota(policy, subject))
            if limits.concurrent_runs:
                policy = Policy(name=f"{subject_kind}-runs", quota=limits.concurrent_runs)
                if kind == "fast":
                    in_progress.append(self._counters.concurrency(policy, subject))
                else:
                    maxima.append(ConcurrencyLimit(policy=policy, kind=subject_kind, id=subject))
        if not (quotas or in_progress or maxima):
            return None, ()
        policies = [each.policy for each in maxima]
        return RateLimit(quotas, in_progress, policies, self._rejections), tuple(maxima)

    def _build_polls(self, subjects: _LimitedSubjects) -> tuple[RateLimit | None, tuple[()]]:
        quotas = []
        for kind, subject, limits in subjects:
            if limits.polls_per_minute:
                quota = limits.polls_per_minute
                policy = Policy(name=f"{kind}-polls", quota=quota, window=MINUTE)
                quotas.append(self._counters.quota(policy, subject))
        return RateLimit(quotas, (), (), self._rejections) if quotas else None, ()

    def _clear(self) -> None:
        self.epoch += 1
        self._cache.clear()


class PollLimit:
    """The limits of one request that reads runs, and the headers that report them."""

    def __init__(self, rate_limiter: RateLimiter, key_id: str, limits: CallLimits | None) -> None:
        self.headers: Headers = []
        """For the response, also if it is a rejection."""
        self._rate_limiter = rate_limiter
        self._key_id = key_id
        self._limits = limits

    async def count_key(self) -> None:
        """Count the request for its key; raise RATE_LIMITED if it exceeds the quota."""
        await self._acquire(self._rate_limiter.for_poll(self._key_id, self._limits))

    async def count_deployment(self, deployment_id: str, limits: CallLimits | None) -> None:
        """Count it for the run's deployment, too; raise as `count_key`."""
        if limits is not None:
            await self._acquire(self._rate_limiter.for_deployment_poll(deployment_id, limits))

    async def _acquire(self, rate_limit: RateLimit | None) -> None:
        if rate_limit is None:
            return
        try:
            await rate_limit.acquire()
        finally:
            self.headers += rate_limit.headers()
