"""How many runs a worker executes at a time, and of which queue it may take another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from gateway.broker.broker import Queue

_RESERVED_PART = 4
"""One of so many slots, and at least one, is for sync runs only: callers wait for these."""


class RunSlots:
    """Counts runs. One thread takes slots for what it receives, and another one gives them back.

    Neither locks: each counter is written by one thread only, and one that finds no free slot says
    so before it looks again, so that it hears of the next one that is given back.
    """

    def __init__(self, concurrency: int, queues: Collection[Queue]) -> None:
        """Have `concurrency` slots for the runs of `queues`, and at least one for each queue."""
        self.queues = tuple(queues)
        self.count = max(concurrency, len(self.queues))
        reserved = max(1, self.count // _RESERVED_PART) if len(self.queues) > 1 else 0
        self._limits = {
            queue: self.count - (reserved if queue is Queue.ASYNC else 0) for queue in self.queues
        }
        self._taken: Counter[Queue] = Counter()
        self._given_back: Counter[Queue] = Counter()
        self._closed = False
        self._wanted = False
        self.on_free: Callable[[], None] = lambda: None
        """Called, by the thread that gives back, when there is a slot that was not to be had."""

    @property
    def busy(self) -> int:
        """How many are taken."""
        return self.taken - sum(self._given_back.values())

    @property
    def taken(self) -> int:
        """How many have been taken since the start."""
        return sum(self._taken.values())

    def free(self, queue: Queue) -> bool:
        """Whether a run of a queue can be taken; if not, `on_free` is called later."""
        if self._is_free(queue):
            return True
        self._wanted = True
        return self._is_free(queue)

    def take(self, queue: Queue) -> None:
        """Take a slot, whether there is one or not: the run is here."""
        self._taken[queue] += 1

    def give_back(self, queue: Queue) -> None:
        """Give a slot back."""
        self._given_back[queue] += 1
        if self._wanted:
            self._wanted = False
            self.on_free()

    def close(self) -> None:
        """Have no free slots from now on."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether no more runs are taken."""
        return self._closed

    def _is_free(self, queue: Queue) -> bool:
        busy = self._taken[queue] - self._given_back[queue]
        return not self._closed and busy < self._limits[queue] and self.busy < self.count
