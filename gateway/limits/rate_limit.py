"""All limits of a call. A call passes all of them, or is rejected and counted by none."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic, perf_counter
from typing import cast

from gateway.errors import GatewayError
from gateway.limits.gcra import UNKNOWN, ConcurrencyCounter, Quota
from gateway.limits.policy import Policy, policy_header, quota_exceeded
from telemetry.instruments import Counter, MetricFamily

Headers = list[tuple[bytes, bytes]]

_HEADER_REUSES = 100
"""Headers are rendered again after one in so many of the remaining units was used."""
_HEADER_SECONDS = 1.0
_CONCURRENCY_RETRY_SECONDS = 1.0
"""When a call in progress will end is unknown."""


class RateLimit:
    """The limits of the calls of one key to one deployment or model. For one event loop."""

    __slots__ = (
        "_concurrency",
        "_header_lines",
        "_headers_expire_at",
        "_headers_left",
        "_policies",
        "_quotas",
        "_rejections",
    )

    def __init__(
        self,
        quotas: Sequence[Quota],
        concurrency: Sequence[ConcurrencyCounter],
        other_policies: Sequence[Policy],
        rejections: MetricFamily[Counter],
    ) -> None:
        """Enforce `quotas` and `concurrency`; `other_policies` only appear in the headers."""
        self._quotas = tuple(quotas)
        self._concurrency = tuple(concurrency)
        self._rejections = rejections
        enforced = [*(each.policy for each in quotas), *(each.policy for each in concurrency)]
        self._policies = policy_header([*enforced, *other_policies])
        self._header_lines = b""
        self._headers_expire_at = 0.0
        self._headers_left = 0

    def try_acquire(self, cost: int = 1) -> bool:
        """Let a call of `cost` units through; `release` must follow.

        Returns:
            False if it takes a request to Redis to know: then await `acquire`.

        Raises:
            GatewayError: RATE_LIMITED or TOO_MANY_RUNS, with the details of RFC 9457.
        """
        for counter in self._concurrency:
            if counter.available <= 0:
                raise self._rejected(cost, monotonic())
        for quota in self._quotas:
            if quota.spare >= cost:
                quota.spare -= cost
                continue
            now = monotonic()
            wait = quota.try_take(cost, now)
            if wait:
                # A rejected call uses nothing up.
                for taken in self._quotas[: self._quotas.index(quota)]:
                    taken.give_back(cost)
                if wait == UNKNOWN:
                    return False
                raise self._rejected(cost, now)
        for counter in self._concurrency:
            counter.available -= 1
        return True

    async def acquire(self, cost: int = 1) -> None:
        """Let a call through, asking Redis where needed; raises as `try_acquire`."""
        while not self.try_acquire(cost):
            for quota in self._quotas:
                if quota.seconds_until(cost, monotonic()) == UNKNOWN:
                    await quota.refill(cost)
        self._headers_left = 0  # `cost` may be large

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Acquire, and release at the end; raises as `try_acquire`."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """End a call that was let through."""
        for counter in self._concurrency:
            counter.available += 1

    def count_rejection(self, error: GatewayError) -> None:
        """Count a rejection by one of `other_policies`, made by `quota_exceeded`."""
        for name in cast("list[str]", error.details["violated-policies"]):
            self._rejections.child(name).add()

    def header_lines(self, now: float) -> bytes:
        """Return `RateLimit-Policy` and `RateLimit` as lines of an HTTP/1.1 head.

        `now` is `perf_counter()`, or shortly before.

        Rendering takes longer than a whole check, so lines are reused for at most a second, while
        they are off by less than a hundredth of what is left. Rejections always render them.
        """
        self._headers_left -= 1
        if self._headers_left < 0 or now >= self._headers_expire_at:
            self._render_headers(monotonic())
            self._headers_expire_at = now + _HEADER_SECONDS
        return self._header_lines

    def headers(self) -> Headers:
        """Return the same as headers."""
        lines = self.header_lines(perf_counter()).split(b"\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def _render_headers(self, now: float) -> None:
        items = []
        remaining = []
        for quota in self._quotas:
            left, seconds = quota.remaining(now)
            items.append(b'"%b";r=%d;t=%d' % (quota.policy.name.encode(), left, math.ceil(seconds)))
            remaining.append(left)
        for counter in self._concurrency:
            left = max(0, counter.available)
            items.append(b'"%b";r=%d' % (counter.policy.name.encode(), left))
            remaining.append(left)
        self._headers_left = min(remaining, default=0) // _HEADER_REUSES
        self._header_lines = b"ratelimit-policy: %b\r\n" % self._policies
        if items:
            self._header_lines += b"ratelimit: %b\r\n" % b", ".join(items)

    def _rejected(self, cost: int, now: float) -> GatewayError:
        self._headers_left = 0
        waits = [(quota.seconds_until(cost, now), quota.policy) for quota in self._quotas]
        violated = [(wait, policy) for wait, policy in waits if wait > 0]
        violated.sort(key=lambda violation: -violation[0])
        violated += [
            (_CONCURRENCY_RETRY_SECONDS, counter.policy)
            for counter in self._concurrency
            if counter.available <= 0
        ]
        for _, policy in violated:
            self._rejections.child(policy.name).add()
        longest = max(wait for wait, _ in violated)
        return quota_exceeded([policy for _, policy in violated], longest)
