"""Which lanes a worker has, and how many children each: a pure function of what was asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.broker.queues import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A Celery worker on some queues."""

    name: str
    queues: tuple[Queue, ...]
    children: int
    """Runs at a time."""


def plan(
    concurrency: int, queues: Collection[Queue] = tuple(Queue), *, singly: bool
) -> tuple[Lane, ...]:
    """Return the lanes for `concurrency` runs at a time; for both queues, at least one run each.

    Where the broker hands messages out `singly`, to whoever is free, one child is kept for sync
    runs, and all others take what comes. Where it sends them ahead of time (AMQP), a sync run could
    be sent to a lane whose children are all at long runs: there each queue has children of its own.
    """
    if len(queues) == 1:
        (queue,) = queues
        return (Lane(name=queue.value, queues=(queue,), children=concurrency),)
    kept = 1 if singly else max(1, concurrency // 2)
    rest = (Queue.SYNC, Queue.ASYNC) if singly else (Queue.ASYNC,)
    return (
        Lane(name="sync", queues=(Queue.SYNC,), children=kept),
        Lane(name="rest", queues=rest, children=max(1, concurrency - kept)),
    )
