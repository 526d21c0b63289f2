"""Quotas that several processes share, by way of Redis.

A call does not wait for Redis: units are leased in lots, ahead of need, and used from memory. What
is leased has been counted, so that all processes together never use more than the quota; each may
hold a lot that it has no use for, a hundredth of the quota. A quota of less than two hundred has
lots of one unit, and is exact: every call asks for its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.limits.policy import Policy
from gateway.limits.quota import ASK
from gateway.limits.window import Window, seconds_until
from telemetry.logs import logger, reason_of

_LOTS = 100
_ALONE_SECONDS = 1.0
"""After Redis has failed, until it is asked again."""
_PATIENCE_SECONDS = 0.5

log = logger("gateway.limits")


class RedisQuotaStore:
    """Redis, by the `limits` library; and whether it answers."""

    def __init__(self, url: str, *, prefix: str, clock: Callable[[], float]) -> None:
        """Raise ValueError where the URL is none of Redis."""
        self._storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix=prefix,
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
        )
        self._clock = clock
        self._alone_until = 0.0
        self._lost = False

    def lost(self, now: float) -> bool:
        """Whether each process counts for itself at the moment."""
        return now < self._alone_until

    async def lease(
        self, policy: Policy, subject: str, amounts: tuple[int, ...]
    ) -> tuple[int, tuple[int, float, int, float]] | None:
        """Take the first of `amounts` that can be had.

        Returns:
            What was taken, 0 for nothing, and how the window is then: the units of the one before
            and the seconds that they count, its own units and the seconds until it ends. None
            where Redis is away.
        """
        assert policy.window is not None
        key, window, storage = f"{policy.name}/{subject}", policy.window, self._storage
        try:
            taken = 0
            for amount in amounts:
                if await storage.acquire_sliding_window_entry(key, policy.quota, window, amount):
                    taken = amount
                    break
            before, before_left, count, kept = await storage.get_sliding_window(key, window)
        except (RedisError, OSError) as error:
            self._alone_until = self._clock() + _ALONE_SECONDS
            if not self._lost:
                log.warning("rate_limits_alone", reason=reason_of(error))
            self._lost = True
            return None
        if self._lost:
            self._lost = False
            log.info("rate_limits_together")
        return taken, (before, before_left, count, max(0.0, kept - window))

    async def close(self) -> None:
        """Close its connections."""
        connection = cast("RedispyBridge", self._storage.bridge).get_connection()
        await cast("Redis", connection).aclose()


class QuotaLease:
    """A quota of all processes together. See Quota.

    Half a lot is kept back from the room: when it is asked for, another lot is fetched. While Redis
    is away, this process counts for itself, in `alone`.
    """

    __slots__ = (
        "_alone",
        "_asking",
        "_closed_to",
        "_closed_until",
        "_granted",
        "_leased",
        "_lot",
        "_refill",
        "_store",
        "_subject",
        "_unleased",
        "_used",
        "_window",
        "beyond",
        "policy",
        "renews",
        "room",
        "until",
    )

    def __init__(self, policy: Policy, subject: str, store: RedisQuotaStore, alone: Window) -> None:
        self.policy = policy
        self.room = self._granted = 0
        self.until = 0.0  # the end of what is leased
        self.beyond = policy.quota
        self.renews = 0.0
        self._subject = subject
        self._store = store
        self._alone = alone
        self._asking = asyncio.Lock()
        self._refill: asyncio.Task[None] | None = None
        self._leased = 0
        self._closed_until = 0.0
        self._closed_to = 0  # that many units and more are not to be had until then
        self._unleased = policy.quota
        self._used = 0.0
        self._plan()

    def change(self, policy: Policy, *, share: int) -> None:
        """Have another quota from now on; what was used stays used."""
        self._unleased = max(0, self._unleased + policy.quota - self.policy.quota)
        self.policy = policy
        self._alone.change(policy, share=share)
        self._closed_until = 0.0
        self._plan()

    def wait(self, cost: int, now: float) -> float:
        """See Quota."""
        self._settle(now)
        self._used = now
        back = self._lot // 2
        if cost <= self._leased and now < self.until:
            if self._leased - back < cost:
                back = 0
                self._fetch()
            self._grant(back)
            return 0.0
        self._grant(self._leased)
        if now < self._closed_until and cost >= self._closed_to:
            return self._closed_until - now
        if not self._store.lost(now):
            return ASK
        wait = self._alone.wait(cost, now)
        self.beyond, self.renews = self._alone.room, self._alone.renews
        return wait

    def take(self, cost: int, now: float) -> None:
        """See Quota."""
        if cost <= self.room:
            self.room -= cost
        else:
            self._alone.take(cost, now)
            self.beyond = self._alone.room

    async def ask(self, cost: int) -> None:
        """See Quota."""
        async with self._asking:
            if self.wait(cost, time.monotonic()) == ASK:
                await self._lease((self._lot, cost) if cost < self._lot else (cost,))

    def idle(self, now: float) -> bool:
        """See Quota."""
        return now - self._used > 2 * self._window

    def _plan(self) -> None:
        window = self.policy.window
        assert window is not None
        self._window = window
        self._lot = max(1, self.policy.quota // _LOTS)

    def _settle(self, now: float) -> None:
        """Count what was taken of the room that there was; of a window that is over, keep none."""
        self._leased -= self._granted - self.room
        self._granted = self.room
        if now >= self.until:
            self._leased = 0

    def _grant(self, back: int) -> None:
        """Give room, but keep some back."""
        self.room = self._granted = self._leased - back
        self.beyond = self._unleased + back

    def _fetch(self) -> None:
        if self._lot > 1 and self._refill is None:
            self._refill = asyncio.create_task(self._lease((self._lot,)), name="quota lease")
            self._refill.add_done_callback(self._refilled)

    async def _lease(self, amounts: tuple[int, ...]) -> None:
        found = await self._store.lease(self.policy, self._subject, amounts)
        if found is None:
            return
        taken, (before, before_left, count, left) = found
        now, window = time.monotonic(), self._window
        self._settle(now)
        if taken:
            self._leased += taken
            self.until = now + window
        else:
            self._closed_to = min(amounts)
            room = self.policy.quota - self._closed_to
            wait = seconds_until(room, before, before_left, count, left, window)
            self._closed_until = now + max(wait, 0.01)
        used = before * before_left / window + count
        self._unleased = max(0, int(self.policy.quota - used))
        self.renews = now + left
        self._grant(min(self._leased, self._lot // 2))

    def _refilled(self, task: asyncio.Task[None]) -> None:
        self._refill = None
        if not task.cancelled():
            task.exception()
