"""The slots that runs lend while they only wait, and how many may be lent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

_MAX_RUNS = 5_000
_MAX_BYTES = 64 * 1024 * 1024
"""Of JSON: what the runs hold. As values of Python it takes several times as much memory."""

GiveBack = Callable[[], AbstractContextManager[object]]
"""Entered while a slot is lent: another run may have it."""


class LentSlots:
    """Bounds what waits: each run takes memory, and its lease is renewed once a second.

    One user has at most half of it. A run beyond that keeps its slot, so that no other is taken.
    """

    def __init__(self, max_runs: int = _MAX_RUNS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._runs: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def lend(self, give_back: GiveBack, user: str, size: int) -> Iterator[None]:
        """Lend the slot of a user's run that holds `size` bytes of JSON, if it may wait so."""
        if not self._admits(user, size):
            yield
            return
        self._add(user, 1, size)
        try:
            with give_back():
                yield
        finally:
            self._add(user, -1, -size)

    def _admits(self, user: str, size: int) -> bool:
        return (
            self._runs.total() < self._max_runs
            and self._runs[user] < self._max_runs / 2
            and self._bytes.total() + size <= self._max_bytes
            and self._bytes[user] + size <= self._max_bytes / 2
        )

    def _add(self, user: str, runs: int, size: int) -> None:
        self._runs[user] += runs
        self._bytes[user] += size
        if not self._runs[user]:
            del self._runs[user], self._bytes[user]
