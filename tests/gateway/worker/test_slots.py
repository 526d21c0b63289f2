"""How many runs a worker takes."""

from __future__ import annotations

import pytest

from gateway.broker.broker import Queue
from gateway.worker.slots import RunSlots

BOTH = (Queue.SYNC, Queue.ASYNC)


def taken(slots: RunSlots, queue: Queue) -> int:
    """Take what a queue may have, and return how many that were."""
    count = 0
    while slots.free(queue):
        slots.take(queue)
        count += 1
    return count


@pytest.mark.parametrize(
    ("concurrency", "runs", "both"), [(1, 1, 2), (2, 1, 2), (3, 2, 3), (8, 6, 8), (16, 12, 16)]
)
def test_a_quarter_of_the_slots_is_for_sync_runs(concurrency: int, runs: int, both: int) -> None:
    slots = RunSlots(concurrency, BOTH)
    assert taken(slots, Queue.ASYNC) == runs
    assert taken(slots, Queue.SYNC) == both - runs
    assert (slots.busy, slots.taken, slots.count) == (both, both, both)


def test_sync_runs_may_take_all_slots() -> None:
    slots = RunSlots(4, BOTH)
    assert taken(slots, Queue.SYNC) == 4
    assert not slots.free(Queue.ASYNC)


@pytest.mark.parametrize("queue", Queue)
def test_a_single_queue_has_all_slots(queue: Queue) -> None:
    assert taken(RunSlots(4, [queue]), queue) == 4


def test_who_found_no_slot_hears_of_the_next_one() -> None:
    slots, calls = RunSlots(2, BOTH), []
    slots.on_free = lambda: calls.append(slots.free(Queue.ASYNC))
    slots.take(Queue.ASYNC)
    slots.give_back(Queue.ASYNC)
    assert calls == []
    slots.take(Queue.ASYNC)
    assert not slots.free(Queue.ASYNC)
    slots.give_back(Queue.ASYNC)
    assert calls == [True]


def test_a_run_that_comes_without_a_slot_is_counted() -> None:
    slots = RunSlots(1, [Queue.SYNC])
    slots.take(Queue.SYNC)
    slots.take(Queue.SYNC)
    slots.give_back(Queue.SYNC)
    assert not slots.free(Queue.SYNC)
    slots.give_back(Queue.SYNC)
    assert slots.free(Queue.SYNC)


def test_a_closed_one_has_no_free_slot() -> None:
    slots = RunSlots(4, BOTH)
    slots.close()
    assert not slots.free(Queue.SYNC)
