"""How many runs may lend their slots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from gateway.execution.waiting_runs import WaitingRuns
from gateway.flows.engine import LendSlot


class Slots:
    """Counts what is lent."""

    def __init__(self) -> None:
        self.lent = 0

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Lend one."""
        self.lent += 1
        try:
            yield
        finally:
            self.lent -= 1


@pytest.mark.parametrize(("max_runs", "max_bytes"), [(2, 100), (10, 20)])
def test_runs_beyond_the_limit_keep_their_slots(max_runs: int, max_bytes: int) -> None:
    slots = Slots()
    waiting = WaitingRuns(max_runs, max_bytes)
    lends: list[LendSlot] = [waiting.limit(slots.lend, 10) for _ in range(3)]
    with lends[0](), lends[1]():
        assert slots.lent == 2
        with lends[2]():
            assert slots.lent == 2
        with lends[0]():
            assert slots.lent == 2
    assert slots.lent == 0
    with lends[2](), lends[0]():
        assert slots.lent == 2


def test_a_run_that_fails_while_it_waits_takes_its_slot_back() -> None:
    slots = Slots()
    lend = WaitingRuns(1, 100).limit(slots.lend, 10)
    for _ in range(2):
        with suppress(RuntimeError), lend():
            raise RuntimeError
        assert slots.lent == 0
    with lend():
        assert slots.lent == 1
