"""What one process counts in memory: the calls of a window (GCRA), and those in progress."""

from __future__ import annotations

from typing import Protocol

from gateway.limits.policy import Policy

UNKNOWN = -1.0
"""In place of seconds: the count is not known in this process, and `refill` fetches it."""
_EPSILON = 1e-9
"""Tolerance for rounding, in units."""


class Quota(Protocol):
    """How much of a policy one key, deployment or address has left. For one event loop.

    Times are `time.monotonic()`. Only `refill` awaits.
    """

    policy: Policy

    def try_take(self, cost: int, now: float) -> float:
        """Use `cost` units and return 0.0, or use none and return `seconds_until`."""

    def give_back(self, cost: int) -> None:
        """Undo the preceding `try_take`."""

    def seconds_until(self, cost: int, now: float) -> float:
        """Return the seconds until `cost` units are available, 0.0 if they are, or UNKNOWN."""

    def remaining(self, now: float) -> tuple[int, float]:
        """Return the remaining units, and the seconds until the whole quota is available."""

    async def refill(self, cost: int) -> None:
        """Resolve an UNKNOWN result; never raises."""

    def is_idle(self, now: float) -> bool:
        """Return whether dropping it from memory would lose no state."""


class Gcra:
    """A quota by the generic cell rate algorithm, in its form as a leaky bucket.

    Each unit taken fills a bucket of size `quota`, which leaks at the rate quota/window: bursts of
    the whole quota pass, and afterwards units come back one by one instead of all at the end of a
    window. Rejected calls take nothing. See ITU-T I.371, annex A, or
    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm (virtual scheduling and leaky bucket
    are equivalent; the latter keeps units, so that a changed quota needs no conversion).
    """

    __slots__ = ("_full", "_level", "_quota", "_rate", "_updated_at", "_window", "policy")

    def __init__(self, policy: Policy, *, share: int) -> None:
        """Allow `share` units per window: the quota, or the share of this process in it."""
        assert policy.window is not None
        self._window = policy.window
        self._level = 0.0
        self._updated_at = 0.0
        self.change(policy, share=share)

    def change(self, policy: Policy, *, share: int) -> None:
        """Change the quota; what was used stays used."""
        self.policy = policy
        self._quota = share
        self._full = share + _EPSILON
        self._rate = share / self._window

    def try_take(self, cost: int, now: float) -> float:
        """See Quota."""
        level = self._level - (now - self._updated_at) * self._rate
        level = level + cost if level > 0.0 else cost
        if level > self._full:
            return self.seconds_until(cost, now)
        self._level = level
        self._updated_at = now
        return 0.0

    def give_back(self, cost: int) -> None:
        """See Quota."""
        self._level -= cost

    def seconds_until(self, cost: int, now: float) -> float:
        """See Quota."""
        level = self._level - (now - self._updated_at) * self._rate
        missing = (level if level > 0.0 else 0.0) + cost - self._quota
        if missing <= _EPSILON:
            return 0.0
        # More than the whole quota is never available; a window is as good an answer as any.
        return missing / self._rate if cost <= self._quota else float(self._window)

    def remaining(self, now: float) -> tuple[int, float]:
        """See Quota."""
        level = max(0.0, self._level - (now - self._updated_at) * self._rate)
        return max(0, int(self._quota - level + _EPSILON)), level / self._rate

    async def refill(self, cost: int) -> None:
        """See Quota: everything is known in this process."""

    def is_idle(self, now: float) -> bool:
        """See Quota."""
        return (now - self._updated_at) * self._rate >= self._level


class ConcurrencyCounter:
    """How many calls of a subject are in progress in this process, of the `share` that may be."""

    __slots__ = ("available", "policy", "share")

    def __init__(self, policy: Policy, *, share: int) -> None:
        self.policy = policy
        self.share = share
        self.available = share
        """Negative if more calls are in progress than a lowered limit allows."""

    def change(self, policy: Policy, *, share: int) -> None:
        """Change the limit; calls in progress stay counted."""
        self.policy = policy
        self.available += share - self.share
        self.share = share

    def is_idle(self) -> bool:
        """Return whether no call is in progress."""
        return self.available == self.share
