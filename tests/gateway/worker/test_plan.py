"""How children are divided among queue workers."""

from __future__ import annotations

import pytest

from gateway.broker.broker import Queue
from gateway.worker.plan import QueueWorkerPlan, plan_queue_workers

BOTH = (Queue.SYNC, Queue.ASYNC)


@pytest.mark.parametrize(("concurrency", "rest"), [(1, 1), (2, 1), (3, 2), (8, 7)])
def test_one_child_is_reserved_for_sync_runs_and_the_others_take_any_run(
    concurrency: int, rest: int
) -> None:
    assert plan_queue_workers(concurrency, delivers_on_demand=True) == (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=1),
        QueueWorkerPlan(name="rest", queues=BOTH, concurrency=rest),
    )


@pytest.mark.parametrize(("concurrency", "sync", "rest"), [(1, 1, 1), (2, 1, 1), (5, 2, 3)])
def test_a_broker_that_delivers_ahead_of_time_needs_children_per_queue(
    concurrency: int, sync: int, rest: int
) -> None:
    assert plan_queue_workers(concurrency, delivers_on_demand=False) == (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=sync),
        QueueWorkerPlan(name="rest", queues=(Queue.ASYNC,), concurrency=rest),
    )


@pytest.mark.parametrize("queue", Queue)
@pytest.mark.parametrize("delivers_on_demand", [True, False])
def test_one_queue_needs_one_queue_worker(queue: Queue, *, delivers_on_demand: bool) -> None:
    plan = QueueWorkerPlan(name=queue.value, queues=(queue,), concurrency=4)
    assert plan_queue_workers(4, [queue], delivers_on_demand=delivers_on_demand) == (plan,)
