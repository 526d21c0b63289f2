"""What a call has to pass: all the quotas that count it, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import cast

from gateway.errors import GatewayError
from gateway.limits.policy import Policy, exceeded, policy_header
from gateway.limits.quota import ASK, Quota
from telemetry.instruments import Counter, Family

Headers = list[tuple[bytes, bytes]]

_AGAIN_SECONDS = 1.0
"""After which somebody may be through: nobody knows when a call will be."""


class Slots:
    """How many calls of a subject are going on in this process, which may have `share` of them."""

    __slots__ = ("policy", "share", "taken")

    def __init__(self, policy: Policy, *, share: int) -> None:
        self.policy = policy
        self.share = share
        self.taken = 0


class Gate:
    """One caller's way to one thing. For one event loop.

    Units are taken where every quota has some: a refused call is counted nowhere.
    """

    __slots__ = (
        "_labelled",
        "_labelled_slots",
        "_policy_header",
        "_policy_line",
        "_quotas",
        "_refusals",
        "_slots",
    )

    def __init__(
        self,
        quotas: Sequence[Quota],
        slots: Sequence[Slots],
        shown: Sequence[Policy],
        refusals: Family[Counter],
    ) -> None:
        """Count by `quotas` and `slots`; `shown` are policies that somebody else looks after."""
        self._quotas = tuple(quotas)
        self._labelled = tuple((_label(quota.policy), quota) for quota in quotas)
        self._labelled_slots = tuple((_label(one.policy), one) for one in slots)
        self._slots = tuple(slots)
        self._refusals = refusals
        every = [*(quota.policy for quota in quotas), *(slot.policy for slot in slots), *shown]
        self._policy_header = policy_header(every)
        self._policy_line = b"ratelimit-policy: %b\r\nratelimit: %%b\r\n" % (
            self._policy_header.replace(b"%", b"%%")
        )

    def enter(self, cost: int = 1) -> bool:
        """Let a call of `cost` units in; False: that is not known here, use `enter_slowly`.

        Who is let in has to `leave`.

        Raises:
            GatewayError: RATE_LIMITED or TOO_MANY_RUNS, with what RFC 9457 has to say about it.
        """
        now = monotonic()
        for quota in self._quotas:
            wait = quota.wait(cost, now)
            if wait:
                if wait == ASK:
                    return False
                raise self._refused(cost, now)
        for slots in self._slots:
            if slots.taken >= slots.share:
                raise self._refused(cost, now)
        for quota in self._quotas:
            quota.take(cost, now)
        for slots in self._slots:
            slots.taken += 1
        return True

    async def enter_slowly(self, cost: int = 1) -> None:
        """Let a call in, after asking whoever keeps the counts; raises as `enter`."""
        while not self.enter(cost):
            for quota in self._quotas:
                if quota.wait(cost, monotonic()) == ASK:
                    await quota.ask(cost)

    @asynccontextmanager
    async def passage(self, cost: int = 1) -> AsyncIterator[None]:
        """Be let in, and leave at the end; raises as `enter`."""
        await self.enter_slowly(cost)
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """A call that was let in is answered."""
        for slots in self._slots:
            slots.taken -= 1

    def count_refusal(self, refusal: GatewayError) -> None:
        """Count a refusal by one of the `shown` policies, which `exceeded` has made."""
        for name in cast("list[str]", refusal.details["violated-policies"]):
            self._refusals.child(name).add()

    def lines(self) -> bytes:
        """Return `RateLimit-Policy` and `RateLimit` as lines of an HTTP/1.1 head."""
        return self._policy_line % self._state()

    def headers(self) -> Headers:
        """Return the same as headers."""
        headers = [(b"ratelimit-policy", self._policy_header)]
        return [*headers, (b"ratelimit", state)] if (state := self._state()) else headers

    def _state(self) -> bytes:
        now = monotonic()
        items = []
        for label, quota in self._labelled:
            units, seconds = quota.left(now)
            items.append(b"%b%d;t=%d" % (label, units, seconds))
        for label, slots in self._labelled_slots:
            items.append(b"%b%d" % (label, max(0, slots.share - slots.taken)))
        return b", ".join(items)

    def _refused(self, cost: int, now: float) -> GatewayError:
        waits = [(quota.wait(cost, now), quota.policy) for quota in self._quotas]
        violated = sorted([(wait, policy) for wait, policy in waits if wait > 0], key=_longest)
        violated += [
            (_AGAIN_SECONDS, slots.policy) for slots in self._slots if slots.taken >= slots.share
        ]
        for _, policy in violated:
            self._refusals.child(policy.name).add()
        return exceeded([policy for _, policy in violated], max(wait for wait, _ in violated))


def _longest(violation: tuple[float, Policy]) -> float:
    return -violation[0]


def _label(policy: Policy) -> bytes:
    return b'"%b";r=' % policy.name.encode()
