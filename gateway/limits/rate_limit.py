"""What a call has to pass: all the quotas that count it, or none."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import cast

from gateway.errors import GatewayError
from gateway.limits.policy import Policy, policy_header, quota_exceeded
from gateway.limits.quota import ASK, Quota
from gateway.limits.slots import Slots
from telemetry.instruments import Counter, MetricFamily

Headers = list[tuple[bytes, bytes]]

_REPEATED = 100
"""Of what is left, a call in so many may pass before that is said anew."""
_AGAIN_SECONDS = 1.0
"""After which somebody may be through: nobody knows when a call will be."""


class RateLimit:
    """One caller's way to one thing. For one event loop.

    Units are taken where every quota has some: a refused call is counted nowhere.
    """

    __slots__ = ("_lines", "_policies", "_quotas", "_refusals", "_repeats", "_slots", "_stale")

    def __init__(
        self,
        quotas: Sequence[Quota],
        slots: Sequence[Slots],
        shown: Sequence[Policy],
        refusals: MetricFamily[Counter],
    ) -> None:
        """Count by `quotas` and `slots`; `shown` are policies that somebody else looks after."""
        self._quotas = tuple(quotas)
        self._slots = tuple(slots)
        self._refusals = refusals
        every = [*(quota.policy for quota in quotas), *(one.policy for one in slots), *shown]
        self._policies = policy_header(every)
        self._lines = b""
        self._stale = 0.0
        self._repeats = 0

    def try_acquire(self, cost: int = 1) -> bool:
        """Let a call of `cost` units in; False: that is not known here, use `acquire`.

        Who is let in has to `release`.

        Raises:
            GatewayError: RATE_LIMITED or TOO_MANY_RUNS, with what RFC 9457 has to say about it.
        """
        now = monotonic()
        for quota in self._quotas:
            if quota.room < cost or quota.until <= now:
                wait = quota.wait(cost, now)
                if wait == ASK:
                    return False
                if wait:
                    raise self._refused(cost, now)
        for slots in self._slots:
            if slots.room <= 0:
                raise self._refused(cost, now)
        for quota in self._quotas:
            if quota.room >= cost:
                quota.room -= cost
            else:
                quota.take(cost, now)
        for slots in self._slots:
            slots.room -= 1
        return True

    async def acquire(self, cost: int = 1) -> None:
        """Let a call in, after asking whoever keeps the counts; raises as `try_acquire`."""
        while not self.try_acquire(cost):
            for quota in self._quotas:
                if quota.wait(cost, monotonic()) == ASK:
                    await quota.ask(cost)
        self._repeats = 0  # it may have cost a lot, and a look more does not matter here

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Be let in, and leave at the end; raises as `try_acquire`."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """A call that was let in is answered."""
        for slots in self._slots:
            slots.room += 1

    def count_rejection(self, refusal: GatewayError) -> None:
        """Count a refusal by one of the `shown` policies, which `quota_exceeded` has made."""
        for name in cast("list[str]", refusal.details["violated-policies"]):
            self._refusals.child(name).add()

    def header_lines(self) -> bytes:
        """Return `RateLimit-Policy` and `RateLimit` as lines of an HTTP/1.1 head.

        Where much is left, some calls in a row hear the same: nobody misses a hundredth of it.
        """
        self._repeats -= 1
        if self._repeats < 0 or monotonic() >= self._stale:
            self._renew(monotonic())
        return self._lines

    def headers(self) -> Headers:
        """Return the same as headers."""
        lines = self.header_lines().split(b"\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def _renew(self, now: float) -> None:
        """Find out what is left, when there is more, and how long that may be said."""
        self._stale = now + 1.0
        items = []
        lefts = []
        for quota in self._quotas:
            quota.wait(0, now)
            left, seconds = max(0, quota.room + quota.beyond), math.ceil(quota.renews - now)
            self._stale = min(self._stale, quota.renews - seconds + 1)
            items.append(b'"%b";r=%d;t=%d' % (quota.policy.name.encode(), left, max(1, seconds)))
            lefts.append(left)
        for slots in self._slots:
            left = max(0, slots.room)
            items.append(b'"%b";r=%d' % (slots.policy.name.encode(), left))
            lefts.append(left)
        self._repeats = min(lefts, default=0) // _REPEATED
        self._lines = b"ratelimit-policy: %b\r\n" % self._policies
        if items:
            self._lines += b"ratelimit: %b\r\n" % b", ".join(items)

    def _refused(self, cost: int, now: float) -> GatewayError:
        self._repeats = 0
        waits = [(quota.wait(cost, now), quota.policy) for quota in self._quotas]
        violated = sorted([(wait, policy) for wait, policy in waits if wait > 0], key=_longest)
        violated += [(_AGAIN_SECONDS, slots.policy) for slots in self._slots if slots.room <= 0]
        for _, policy in violated:
            self._refusals.child(policy.name).add()
        return quota_exceeded([policy for _, policy in violated], max(wait for wait, _ in violated))


def _longest(violation: tuple[float, Policy]) -> float:
    return -violation[0]
