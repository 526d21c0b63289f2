"""Quotas that several processes share through Redis.

Calls do not wait for Redis: units are leased in lots, ahead of need, and used from memory. Leased
units count as used, so all processes together never exceed the quota; in return each may hold a lot
that it does not use, 1 % of the quota. A quota below 200 has lots of one unit and is exact: each
call asks Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.limits.gcra import UNKNOWN, Gcra
from gateway.limits.policy import Policy
from telemetry.logs import logger, reason_of

_LOTS_PER_QUOTA = 100
_RETRY_SECONDS = 1.0
"""Between two attempts to reach Redis after it failed."""
_TIMEOUT_SECONDS = 0.5
_MIN_WAIT_SECONDS = 0.01

# The leaky bucket of gcra.py. Redis' own clock is used, so that the processes' need not agree.
_LEASE = """
local quota, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, needed = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now, rate = time[1] + time[2] / 1e6, quota / window
local bucket = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.max(0, (tonumber(bucket[1]) or 0) - (now - (tonumber(bucket[2]) or now)) * rate)
local free = math.floor(quota - level + 1e-6)
local taken = 0
if free >= wanted then taken = wanted elseif free >= needed then taken = needed end
if taken > 0 then
  level = level + taken
  redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level),
             'at', string.format('%.6f', now))
  redis.call('PEXPIRE', KEYS[1], math.ceil(level / rate * 1000) + 1000)
end
return {taken, tostring(level)}
"""

log = logger("gateway.limits")


class LeaseResult(NamedTuple):
    """What Redis answered."""

    taken: int
    """Leased units; 0 if there were not enough."""
    level: float
    """Units that all processes have used or leased, as of now."""


class RedisQuotaStore:
    """Leases units from Redis, and knows whether it is reachable."""

    def __init__(self, url: str, *, prefix: str, clock: Callable[[], float]) -> None:
        """Raise ValueError if the URL is not one of Redis."""
        # Not at the top: only gateways with Redis need it, and it takes 45 ms.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._errors = (RedisError, OSError)
        self._redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._lease = self._redis.register_script(_LEASE)
        self._prefix = prefix
        self._clock = clock
        self._down_until = 0.0
        self._is_down = False

    def is_down(self, now: float) -> bool:
        """Return whether each process counts on its own at the moment."""
        return now < self._down_until

    async def lease(
        self, policy: Policy, subject: str, *, wanted: int, needed: int
    ) -> LeaseResult | None:
        """Lease `wanted` units, or at least `needed`; None if Redis is unreachable."""
        assert policy.window is not None
        key = f"{self._prefix}/gcra/{policy.name}/{subject}"
        try:
            values = [policy.quota, policy.window, wanted, needed]
            taken, level = await self._lease(keys=[key], args=values)
        except self._errors as error:
            self._down_until = self._clock() + _RETRY_SECONDS
            if not self._is_down:
                log.warning("rate_limit_redis_unreachable", reason=reason_of(error))
            self._is_down = True
            return None
        if self._is_down:
            self._is_down = False
            log.info("rate_limit_redis_reachable")
        return LeaseResult(int(taken), float(level))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class QuotaLease:
    """A quota of all processes together. See Quota.

    When less than half a lot is left, the next one is fetched in the background, so that no call of
    a large quota waits. While Redis is unreachable, this process counts on its own, in `local`.
    """

    spare = 0
    """Leased units end with their window, so each use is checked."""

    def __init__(self, policy: Policy, subject: str, store: RedisQuotaStore, local: Gcra) -> None:
        self._subject = subject
        self._store = store
        self._local = local
        self._lock = asyncio.Lock()
        self._refill_task: asyncio.Task[None] | None = None
        self._leased = 0
        self._took_lease = False
        self._expires_at = 0.0
        self._level = 0.0  # of Redis' bucket, when it was last asked
        self._asked_at = 0.0
        self._exhausted_until = 0.0
        self._exhausted_cost = 0
        self._used_at = 0.0
        self._set(policy)

    def change(self, policy: Policy, *, share: int) -> None:
        """Change the quota; what was used stays used."""
        self._local.change(policy, share=share)
        self._exhausted_until = 0.0
        self._set(policy)

    def try_take(self, cost: int, now: float) -> float:
        """See Quota."""
        wait = self.seconds_until(cost, now)
        if wait == 0.0:
            self._took_lease = cost <= self._leased
            if not self._took_lease:
                return self._local.try_take(cost, now)
            self._leased -= cost
            if self._leased < self._lot // 2:
                self._start_refill()
        return wait

    def give_back(self, cost: int) -> None:
        """See Quota."""
        if self._took_lease:
            self._leased += cost
        else:
            self._local.give_back(cost)

    def seconds_until(self, cost: int, now: float) -> float:
        """See Quota."""
        self._used_at = now
        if now >= self._expires_at:
            # After a window Redis' bucket has leaked what was leased: others may use it by now.
            self._leased = 0
        if cost <= self._leased:
            return 0.0
        if now < self._exhausted_until and cost >= self._exhausted_cost:
            return self._exhausted_until - now
        if self._store.is_down(now):
            return self._local.seconds_until(cost, now)
        return UNKNOWN

    def remaining(self, now: float) -> tuple[int, float]:
        """See Quota."""
        if not self._leased and self._store.is_down(now):
            return self._local.remaining(now)
        level = max(0.0, self._level - (now - self._asked_at) * self._rate)
        left = int(self.policy.quota - level + 1e-6) + self._leased
        return max(0, min(self.policy.quota, left)), level / self._rate

    async def refill(self, cost: int) -> None:
        """See Quota."""
        async with self._lock:  # many calls that wait for the same units ask once
            if self.seconds_until(cost, time.monotonic()) == UNKNOWN:
                await self._lease(max(self._lot, cost), cost)

    def is_idle(self, now: float) -> bool:
        """See Quota."""
        return now - self._used_at > self._window

    def _set(self, policy: Policy) -> None:
        assert policy.window is not None
        self.policy = policy
        self._window = policy.window
        self._rate = policy.quota / policy.window
        self._lot = max(1, policy.quota // _LOTS_PER_QUOTA)

    def _start_refill(self) -> None:
        if self._lot > 1 and self._refill_task is None:
            self._refill_task = asyncio.create_task(
                self._lease(self._lot, self._lot), name="quota lease"
            )
            self._refill_task.add_done_callback(self._on_refilled)

    async def _lease(self, wanted: int, needed: int) -> None:
        result = await self._store.lease(self.policy, self._subject, wanted=wanted, needed=needed)
        if result is None:
            return
        now = time.monotonic()
        self._level, self._asked_at = result.level, now
        if result.taken:
            self._leased = result.taken + (self._leased if now < self._expires_at else 0)
            self._expires_at = now + self._window
            return
        # Remembered, so that a client that retries in a tight loop costs one request to Redis.
        missing = result.level + needed - self.policy.quota
        wait = missing / self._rate if needed <= self.policy.quota else self._window
        self._exhausted_cost = needed
        self._exhausted_until = now + max(wait, _MIN_WAIT_SECONDS)

    def _on_refilled(self, task: asyncio.Task[None]) -> None:
        self._refill_task = None
        if not task.cancelled():
            task.exception()  # marks it as retrieved; the next call that needs units asks again
