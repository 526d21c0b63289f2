"""How quickly one message follows another: whether it is worth while to stay awake for the next."""

from __future__ import annotations

from time import perf_counter

_NEWEST = 0.1
"""Weight of the newest pause in the mean."""
_LONGEST = 4
"""Times `linger_seconds` that the longest pause counts as."""


class ArrivalRate:
    """The mean pause between an answer and the next message of one stream.

    A caller who sends call after call, each when the one before is answered, waits for every
    wake-up of ours. Where many call at once, none of them does: there is always something to do.
    """

    def __init__(self, linger_seconds: float) -> None:
        """Find it worth while to stay awake for `linger_seconds`, or never if that is 0."""
        self.linger_seconds = linger_seconds
        self._mean = _LONGEST * linger_seconds
        self._answered = 0.0

    def arrived(self, count: int) -> None:
        """Take note of `count` messages in one read."""
        longest = _LONGEST * self.linger_seconds
        pause = perf_counter() - self._answered if count == 1 else longest
        self._mean += _NEWEST * (min(pause, longest) - self._mean)

    def answered(self) -> None:
        """Take note that there is nothing to do."""
        self._answered = perf_counter()

    @property
    def is_brisk(self) -> bool:
        """Whether the next message is likely to come while one would stay awake for it."""
        return self._mean < self.linger_seconds
