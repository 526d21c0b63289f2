"""How children are divided among lanes."""

from __future__ import annotations

import pytest

from gateway.broker.queues import Queue
from gateway.worker.lanes import Lane, plan

BOTH = (Queue.SYNC, Queue.ASYNC)


@pytest.mark.parametrize(("concurrency", "rest"), [(1, 1), (2, 1), (3, 2), (8, 7)])
def test_one_child_is_kept_for_sync_runs_and_the_others_take_what_comes(
    concurrency: int, rest: int
) -> None:
    assert plan(concurrency, singly=True) == (
        Lane(name="sync", queues=(Queue.SYNC,), children=1),
        Lane(name="rest", queues=BOTH, children=rest),
    )


@pytest.mark.parametrize(("concurrency", "sync", "rest"), [(1, 1, 1), (2, 1, 1), (5, 2, 3)])
def test_where_messages_are_sent_ahead_of_time_each_queue_has_its_own_children(
    concurrency: int, sync: int, rest: int
) -> None:
    assert plan(concurrency, singly=False) == (
        Lane(name="sync", queues=(Queue.SYNC,), children=sync),
        Lane(name="rest", queues=(Queue.ASYNC,), children=rest),
    )


@pytest.mark.parametrize("queue", Queue)
@pytest.mark.parametrize("singly", [True, False])
def test_for_one_queue_there_is_one_lane(queue: Queue, *, singly: bool) -> None:
    lane = Lane(name=queue.value, queues=(queue,), children=4)
    assert plan(4, [queue], singly=singly) == (lane,)
