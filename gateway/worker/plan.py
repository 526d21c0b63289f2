"""Which lanes a worker has, and how many children each: a pure function of what was asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.broker.queues import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueWorkerPlan:
    """A Celery worker on some queues."""

    name: str
    queues: tuple[Queue, ...]
    concurrency: int
    """Runs at a time."""


def plan_queue_workers(
    concurrency: int, queues: Collection[Queue] = tuple(Queue), *, delivers_on_demand: bool
) -> tuple[QueueWorkerPlan, ...]:
    """Return the lanes for `concurrency` runs at a time; for both queues, at least one run each.

    Where the broker delivers on demand, one child is reserved for sync runs, and the others take
    any run. Where it sends them ahead of time (AMQP), a sync run could
    be sent to a lane whose children are all at long runs: there each queue has children of its own.
    """
    if len(queues) == 1:
        (queue,) = queues
        return (QueueWorkerPlan(name=queue.value, queues=(queue,), concurrency=concurrency),)
    kept = 1 if delivers_on_demand else max(1, concurrency // 2)
    rest = (Queue.SYNC, Queue.ASYNC) if delivers_on_demand else (Queue.ASYNC,)
    return (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=kept),
        QueueWorkerPlan(name="rest", queues=rest, concurrency=max(1, concurrency - kept)),
    )
