"""How many runs may lend their slots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from gateway.execution.lent_slots import LentSlots

ALL = 4
SIZE = 10


class Slots:
    """Counts what is lent."""

    def __init__(self) -> None:
        self.lent = 0

    @contextmanager
    def give_back(self) -> Iterator[None]:
        """Lend one."""
        self.lent += 1
        try:
            yield
        finally:
            self.lent -= 1


limits = pytest.mark.parametrize(
    ("max_runs", "max_bytes"), [(ALL, 1000), (100, ALL * SIZE)], ids=["runs", "bytes"]
)


@limits
def test_one_user_has_at_most_half(max_runs: int, max_bytes: int) -> None:
    slots = Slots()
    lent = LentSlots(max_runs, max_bytes)

    def lend(user: str, count: int) -> None:
        if count:
            with lent.lend(slots.give_back, user, SIZE):
                lend(user, count - 1)
        elif user == "one":
            assert slots.lent == ALL // 2
            lend("another", 1)
        else:
            assert slots.lent == ALL // 2 + 1

    lend("one", ALL)
    assert slots.lent == 0


@limits
def test_all_users_have_at_most_all(max_runs: int, max_bytes: int) -> None:
    slots = Slots()
    lent = LentSlots(max_runs, max_bytes)

    def lend(users: list[str]) -> None:
        if users:
            with lent.lend(slots.give_back, users[0], SIZE):
                lend(users[1:])
        else:
            assert slots.lent == ALL

    lend(["one", "two", "three", "four", "five"])
    lend(["six", "seven", "eight", "nine", "ten"])


def test_a_run_that_fails_while_it_waits_takes_its_slot_back() -> None:
    slots = Slots()
    lent = LentSlots(2, 100)
    for _ in range(3):
        with suppress(RuntimeError), lent.lend(slots.give_back, "one", SIZE):
            assert slots.lent == 1
            raise RuntimeError
        assert slots.lent == 0
    assert not lent._runs
    assert not lent._bytes
