"""A sliding window, counted in this process."""

from __future__ import annotations

import math

from gateway.limits.policy import Policy

_FRESH_SECONDS = 1.0
"""As long as room is given for: of what the window before lets go, a call hears by then."""


def seconds_until(  # noqa: PLR0917 - four numbers of a window, as everybody has them
    room: int, before: int, before_left: float, count: int, count_left: float, window: int
) -> float:
    """Return the seconds until a sliding window holds at most `room` units.

    Args:
        room: units that may be there.
        before: units of the window before, which count in proportion to what is left of it.
        before_left: seconds until they count nothing.
        count: units of the window that goes on.
        count_left: seconds until that has ended, and begins to count less itself.
        window: its length in seconds.
    """
    if room < 0:
        return float(window)
    if before * before_left / window + count <= room:
        return 0.0
    if count <= room:  # the window before goes out soon enough
        return before_left - (room - count) * window / before
    return count_left + window * (1 - room / count)


class Window:
    """A quota over a sliding window of two counters, as `limits` has it. See Quota.

    The first call begins a window, so that a quota is whole when it is first used.
    """

    __slots__ = (
        "_before",
        "_count",
        "_granted",
        "_quota",
        "_window",
        "beyond",
        "policy",
        "renews",
        "room",
        "until",
    )

    def __init__(self, policy: Policy, *, share: int) -> None:
        """Let `share` units through, which is the whole quota where nobody else counts it."""
        assert policy.window is not None
        self.policy = policy
        self.room = self._granted = 0
        self.until = 0.0
        self.beyond = 0
        self.renews = -math.inf
        self._quota = share
        self._window = policy.window
        self._before = 0
        self._count = 0

    def change(self, policy: Policy, *, share: int) -> None:
        """Have another quota from now on; what was used stays used."""
        self.policy = policy
        self._quota = share
        self._grant(0, 0.0)

    def wait(self, cost: int, now: float) -> float:
        """See Quota."""
        self._grant(0, 0.0)
        if self.renews <= now:
            self._roll(now)
        left = self.renews - now
        used = self._count + self._before * left / self._window
        self._grant(max(0, int(self._quota - used)), min(self.renews, now + _FRESH_SECONDS))
        if used + cost <= self._quota:
            return 0.0
        room = self._quota - cost
        return seconds_until(room, self._before, left, self._count, left, self._window)

    def take(self, cost: int, now: float) -> None:  # noqa: ARG002 - as Quota
        """See Quota."""
        self.room -= cost

    async def ask(self, cost: int) -> None:
        """See Quota: everything is known here."""

    def idle(self, now: float) -> bool:
        """See Quota."""
        return now - self.renews > self._window

    def _grant(self, room: int, until: float) -> None:
        """Count what was taken of the room that there was, and give some again."""
        self._count += self._granted - self.room
        self.room = self._granted = room
        self.until = until

    def _roll(self, now: float) -> None:
        """Begin the window that `now` is in."""
        if now - self.renews < self._window:
            self._before, self._count = self._count, 0
            self.renews += self._window
        else:
            self._before = self._count = 0
            self.renews = now + self._window
