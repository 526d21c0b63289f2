"""How children are divided among lanes."""

from __future__ import annotations

import pytest

from gateway.broker.queues import Queue
from gateway.worker.plan import QueueWorkerPlan, plan_queue_workers

BOTH = (Queue.SYNC, Queue.ASYNC)


@pytest.mark.parametrize(("concurrency", "rest"), [(1, 1), (2, 1), (3, 2), (8, 7)])
def test_one_child_is_kept_for_sync_runs_and_the_others_take_what_comes(
    concurrency: int, rest: int
) -> None:
    assert plan_queue_workers(concurrency, delivers_on_demand=True) == (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=1),
        QueueWorkerPlan(name="rest", queues=BOTH, concurrency=rest),
    )


@pytest.mark.parametrize(("concurrency", "sync", "rest"), [(1, 1, 1), (2, 1, 1), (5, 2, 3)])
def test_where_messages_are_sent_ahead_of_time_each_queue_has_its_own_children(
    concurrency: int, sync: int, rest: int
) -> None:
    assert plan_queue_workers(concurrency, delivers_on_demand=False) == (
        QueueWorkerPlan(name="sync", queues=(Queue.SYNC,), concurrency=sync),
        QueueWorkerPlan(name="rest", queues=(Queue.ASYNC,), concurrency=rest),
    )


@pytest.mark.parametrize("queue", Queue)
@pytest.mark.parametrize("delivers_on_demand", [True, False])
def test_for_one_queue_there_is_one_lane(queue: Queue, *, delivers_on_demand: bool) -> None:
    lane = QueueWorkerPlan(name=queue.value, queues=(queue,), concurrency=4)
    assert plan_queue_workers(4, [queue], delivers_on_demand=delivers_on_demand) == (lane,)
