"""What one process counts in memory: the calls of a window (GCRA), and those in progress."""

from __future__ import annotations

from typing import Protocol

from gateway.limits.policy import Policy

UNKNOWN = -1.0
"""In place of seconds: the count is not known in this process, and `refill` fetches it."""
_EPSILON = 1e-9
"""Tolerance for rounding, in units."""
_LOTS_PER_QUOTA, _MAX_LOT = 1000, 100
"""Units are taken in advance in lots: of a thousandth of the quota, so quotas below are exact."""


class Quota(Protocol):
    """How much of a policy one key, deployment or address has left. For one event loop.

    Times are `time.monotonic()`. Only `refill` awaits.
    """

    policy: Policy
    spare: int
    """Units taken in advance, which callers may use by lowering this."""

    def try_take(self, cost: int, now: float) -> float:
        """Use `cost` units and return 0.0, or use none and return `seconds_until`."""

    def give_back(self, cost: int) -> None:
        """Undo the preceding use of `cost` units, by `try_take` or of `spare`."""

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
    window. Rejected calls take nothing. Units of a large quota are taken in advance, in lots
    (`spare`), so that most calls only lower a number; up to a thousandth of the quota more may
    pass.

    See ITU-T I.371, annex A, or
    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm (virtual scheduling and leaky bucket
    are equivalent; the latter keeps units, so that a changed quota needs no conversion).
    """

    __slots__ = (
        "_full",
        "_level",
        "_lot",
        "_quota",
        "_rate",
        "_updated_at",
        "_window",
        "policy",
        "spare",
    )

    def __init__(self, policy: Policy, *, share: int) -> None:
        """Allow `share` units per window: the quota, or the share of this process in it."""
        assert policy.window is not None
        self._window = policy.window
        self._level = 0.0
        """What is used, and `spare`, as of `_updated_at`."""
        self._updated_at = 0.0
        self.spare = 0
        self.change(policy, share=share)

    def change(self, policy: Policy, *, share: int) -> None:
        """Change the quota; what was used stays used."""
        self.policy = policy
        self._quota = share
        self._full = share + _EPSILON
        self._rate = share / self._window
        self._lot = min(share // _LOTS_PER_QUOTA, _MAX_LOT)
        self._level -= self.spare
        self.spare = 0

    def try_take(self, cost: int, now: float) -> float:
        """See Quota."""
        level = self._used(now) + cost
        if level > self._full:
            return self.seconds_until(cost, now)
        self.spare = self._lot if level + self._lot <= self._full else 0
        self._level = level + self.spare
        self._updated_at = now
        return 0.0

    def give_back(self, cost: int) -> None:
        """See Quota."""
        self._level -= cost

    def seconds_until(self, cost: int, now: float) -> float:
        """See Quota."""
        missing = self._used(now) + cost - self._quota
        if missing <= _EPSILON:
            return 0.0
        # More than the whole quota is never available; a window is as good an answer as any.
        return missing / self._rate if cost <= self._quota else float(self._window)

    def remaining(self, now: float) -> tuple[int, float]:
        """See Quota."""
        used = self._used(now)
        return max(0, int(self._quota - used + _EPSILON)), used / self._rate

    async def refill(self, cost: int) -> None:
        """See Quota: everything is known in this process."""

    def is_idle(self, now: float) -> bool:
        """See Quota."""
        return self._used(now) == 0.0

    def _used(self, now: float) -> float:
        return max(0.0, self._level - self.spare - (now - self._updated_at) * self._rate)


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
