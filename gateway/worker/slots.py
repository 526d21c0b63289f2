"""How many runs a worker executes at a time, and of which queue it may take another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from gateway.broker.broker import Queue


class RunSlots:
    """Counts runs. Each queue has slots of its own: a backlog of one does not delay the other.

    One thread takes slots for what it receives, and another one gives them back.

    Neither locks: each counter is written by one thread only, and one that finds no free slot says
    so before it looks again, so that it hears of the next one that is given back.
    """

    def __init__(self, concurrency: int, queues: Collection[Queue]) -> None:
        """Have `concurrency` slots for the runs of each of `queues`."""
        self.queues = tuple(queues)
        self.concurrency = concurrency
        self._taken: Counter[Queue] = Counter()
        self._given_back: Counter[Queue] = Counter()
        self._closed = False
        self._wanted = False
        self.on_free: Callable[[], None] = lambda: None
        """Called, by the thread that gives back, when there is a slot that was not to be had."""

    @property
    def busy(self) -> dict[str, int]:
        """How many are taken, by queue."""
        return {queue.value: self._busy(queue) for queue in self.queues}

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

    @contextmanager
    def lend(self, queue: Queue) -> Iterator[None]:
        """Give a slot back for as long as its run waits.

        Afterwards it is taken whether there is one or not: the run is here already.
        """
        self.give_back(queue)
        try:
            yield
        finally:
            self._given_back[queue] -= 1

    def close(self) -> None:
        """Have no free slots from now on."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether no more runs are taken."""
        return self._closed

    def _is_free(self, queue: Queue) -> bool:
        return not self._closed and self._busy(queue) < self.concurrency

    def _busy(self, queue: Queue) -> int:
        return self._taken[queue] - self._given_back[queue]
