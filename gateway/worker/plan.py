"""Which queue workers a machine runs, and how many children each has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.broker.broker import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueWorkerPlan:
    """One queue worker."""

    name: str
    queues: tuple[Queue, ...]
    concurrency: int
    """Runs at a time; each has a child process of its own."""

    @property
    def arguments(self) -> list[str]:
        """The plan as arguments of `python -m gateway.worker`."""
        return [
            *("--name", self.name),
            *("--queues", ",".join(self.queues)),
            *("--concurrency", str(self.concurrency)),
        ]


def plan_queue_workers(
    concurrency: int, queues: Collection[Queue] = tuple(Queue), *, delivers_on_demand: bool
) -> tuple[QueueWorkerPlan, ...]:
    """Return the queue workers for `concurrency` runs at a time, at least one run per queue.

    Where the broker delivers on demand, one child is reserved for sync runs, and the others take
    any run. AMQP delivers ahead of time: a sync run could be delivered to a queue worker whose
    children are all busy with long runs, so each queue gets children of its own.
    """
    if len(queues) == 1:
        (queue,) = queues
        return (QueueWorkerPlan(name=queue.value, queues=(queue,), concurrency=concurrency),)
    reserved = 1 if delivers_on_demand else max(1, concurrency // 2)
    rest = (Queue.SYNC, Queue.ASYNC) if delivers_on_demand else (Queue.ASYNC,)
    return (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=reserved),
        QueueWorkerPlan(name="rest", queues=rest, concurrency=max(1, concurrency - reserved)),
    )


def parse_queues(text: str) -> tuple[Queue, ...]:
    """Return the queues of a comma-separated list; raise ValueError for anything else."""
    try:
        return tuple(dict.fromkeys(Queue(word.strip()) for word in text.split(",")))
    except ValueError:
        raise ValueError(f"expected sync, async or sync,async, got '{text}'") from None
