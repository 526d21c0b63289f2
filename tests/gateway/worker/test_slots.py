"""How many runs a worker takes."""

from __future__ import annotations

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


def test_each_queue_has_slots_of_its_own() -> None:
    slots = RunSlots(3, BOTH)
    assert [taken(slots, queue) for queue in BOTH] == [3, 3]
    slots.give_back(Queue.ASYNC)
    assert (slots.free(Queue.SYNC), slots.free(Queue.ASYNC)) == (False, True)
    assert slots.busy == {Queue.SYNC: 3, Queue.ASYNC: 2}
    assert slots.taken == 6


def test_who_found_no_slot_hears_of_the_next_one() -> None:
    calls: list[bool] = []
    slots = RunSlots(1, BOTH)
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


def test_a_run_that_waits_lends_its_slot_and_takes_it_back() -> None:
    slots = RunSlots(1, [Queue.ASYNC])
    slots.take(Queue.ASYNC)
    with slots.lend(Queue.ASYNC):
        assert slots.free(Queue.ASYNC)
        slots.take(Queue.ASYNC)
    assert slots.busy == {Queue.ASYNC: 2}
    slots.give_back(Queue.ASYNC)
    assert not slots.free(Queue.ASYNC)
    slots.give_back(Queue.ASYNC)
    assert slots.free(Queue.ASYNC)
    assert slots.taken == 2
