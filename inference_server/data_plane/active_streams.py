"""Which streams have sent something lately: a client that only keeps one open is no company."""

from __future__ import annotations

from time import perf_counter

_LATELY_SECONDS = 0.05


class ActiveStreams:
    """The streams of one server, as far as they are in use at the same time."""

    def __init__(self) -> None:
        self._last: object = None
        self._mixed_until = 0.0

    def is_only(self, stream: object) -> bool:
        """Return whether no stream but `stream`, which sends now, has sent anything lately.

        On any other, more could have arrived by now. Workers keep streams that they hardly use.
        """
        now = perf_counter()
        if stream is not self._last:
            if self._last is not None:
                self._mixed_until = now + _LATELY_SECONDS
            self._last = stream
        return now >= self._mixed_until

    def left(self, stream: object) -> None:
        """Forget a stream that is over."""
        if stream is self._last:
            self._last = None
