"""A sliding window, counted in this process."""

from __future__ import annotations

from gateway.limits.policy import Policy


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

    __slots__ = ("_before", "_count", "_end", "_quota", "_window", "policy")

    def __init__(self, policy: Policy, *, share: int) -> None:
        """Let `share` units through, which is the whole quota where nobody else counts it."""
        assert policy.window is not None
        self.policy = policy
        self._quota = share
        self._window = policy.window
        self._before = 0
        self._count = 0
        self._end = 0.0

    def change(self, policy: Policy, *, share: int) -> None:
        """Have another quota from now on; what was used stays used."""
        self.policy = policy
        self._quota = share

    def wait(self, cost: int, now: float) -> float:
        """See Quota."""
        left = self._end - now
        if left <= 0:
            left = self._roll(now)
        if not self._before:
            used: float = self._count
        else:
            used = self._count + self._before * left / self._window
        if used + cost <= self._quota:
            return 0.0
        room = self._quota - cost
        return seconds_until(room, self._before, left, self._count, left, self._window)

    def take(self, cost: int, now: float) -> None:
        """See Quota."""
        if self._end <= now:
            self._roll(now)
        self._count += cost

    def left(self, now: float) -> tuple[int, int]:
        """See Quota."""
        left = self._end - now
        if left <= 0:
            left = self._roll(now)
        units = self._quota - self._count
        if self._before:
            units = int(units - self._before * left / self._window)
        return max(units, 0), int(-(-left // 1))

    async def ask(self, cost: int) -> None:
        """See Quota: everything is known here."""

    def idle(self, now: float) -> bool:
        """See Quota."""
        return now - self._end > self._window

    def _roll(self, now: float) -> float:
        """Begin the window that `now` is in; return what is left of it."""
        late = now - self._end
        if late < self._window:
            self._before, self._count = self._count, 0
            self._end += self._window
        else:
            self._before = self._count = 0
            self._end = now + self._window
        return self._end - now
