"""When a server of others was held away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Outages:
    """Times in which nothing can succeed that needs the database, the broker or the disk.

    How long calls fail beyond that is what the installation answers for.
    """

    def __init__(self) -> None:
        self._times: list[tuple[float, float | None]] = []
        """Beginnings and ends, in order; None: not yet."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Count the time of this context; one at a time."""
        began = time.monotonic()
        self._times.append((began, None))
        try:
            yield
        finally:
            self._times[-1] = (began, time.monotonic())

    def seconds_between(self, since: float, until: float) -> float:
        """Return how much of the time between two moments of `time.monotonic` counts."""
        return sum(
            max(0.0, min(until, until if end is None else end) - max(since, began))
            for began, end in tuple(self._times)
        )
