"""When to poll the socket for a client's next message instead of sleeping until it arrives.

A client that sends one call after another waits for a wake-up of this process each time, which
costs more than a small model's run. Where many clients call at once none of them waits for it:
there is always something to do.
"""

from __future__ import annotations

_SMOOTHING = 0.1
"""Weight of the latest pause in the moving average."""
_MAX_PAUSE_FACTOR = 4
"""A pause counts as at most so many times `spin_seconds`: a client that returns from a long one is
recognised after a few calls."""
_ACTIVE_SECONDS = 0.05


class ArrivalRate:
    """The average pause between a response and the next message of one stream."""

    def __init__(self, spin_seconds: float) -> None:
        """Detect clients for which polling for `spin_seconds` pays; with 0, there are none."""
        self.spin_seconds = spin_seconds
        self._max_pause = _MAX_PAUSE_FACTOR * spin_seconds
        self._average = self._max_pause
        self._idle_since = 0.0

    def record_arrival(self, messages: int, now: float) -> None:
        """Record `messages` in one read; several are the sign of concurrent callers."""
        pause = now - self._idle_since if messages == 1 else self._max_pause
        self._average += _SMOOTHING * (min(pause, self._max_pause) - self._average)

    def is_tight_loop(self, now: float) -> bool:
        """Record that all is answered; return whether the next message is likely soon."""
        self._idle_since = now
        return self._average < self.spin_seconds


class ActiveStreams:
    """Which streams of one server are in use at the same time."""

    def __init__(self) -> None:
        self._latest: object = None
        self._shared_until = 0.0

    def is_sole(self, stream: object, now: float) -> bool:
        """Return whether only `stream`, which sends now, has sent anything lately.

        If so, nothing can be waiting in another stream's socket. A stream that is merely open does
        not count: workers keep streams that they hardly use.
        """
        if stream is not self._latest:
            if self._latest is not None:
                self._shared_until = now + _ACTIVE_SECONDS
            self._latest = stream
        return now >= self._shared_until

    def remove(self, stream: object) -> None:
        """Forget a stream that has ended."""
        if stream is self._latest:
            self._latest = None
