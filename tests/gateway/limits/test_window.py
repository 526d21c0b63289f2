"""Sliding windows, on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.policy import Policy
from gateway.limits.window import Window

MINUTE = 60


def window(quota: int) -> Window:
    return Window(Policy(name="key-minute", quota=quota, window=MINUTE), share=quota)


def left(counted: Window, now: float) -> tuple[int, float]:
    """Return the units that are left, and the seconds until there are more."""
    counted.wait(0, now)
    return counted.room, counted.renews - now


def admitted(counted: Window, moments: list[float]) -> list[float]:
    """Return those of the moments at which a call was let in."""
    came_in = []
    for now in moments:
        if (counted.room and now < counted.until) or counted.wait(1, now) == 0.0:
            counted.take(1, now)
            came_in.append(now)
    return came_in


def test_a_quota_is_whole_at_the_first_call_and_then_used_up() -> None:
    counted = window(10)
    assert len(admitted(counted, [100.0 + n / 100 for n in range(30)])) == 10
    assert left(counted, 100.5) == (0, 59.5)


def test_after_two_windows_without_a_call_everything_is_there_again() -> None:
    counted = window(10)
    admitted(counted, [0.0] * 10)
    assert left(counted, 2 * MINUTE) == (10, MINUTE)


def test_who_hammers_does_not_push_the_end_of_it_away() -> None:
    patient, hammering = window(10), window(10)
    for counted in (patient, hammering):
        admitted(counted, [0.0] * 10)
    admitted(hammering, [n / 10 for n in range(1, 600)])
    assert hammering.wait(1, 60.0) == patient.wait(1, 60.0)


def test_the_first_call_begins_a_window_however_long_the_machine_is_up() -> None:
    assert left(window(10), 5.0) == (10, MINUTE)


def test_a_raised_quota_counts_what_was_used() -> None:
    counted = window(10)
    admitted(counted, [0.0] * 10)
    counted.change(Policy(name="key-minute", quota=15, window=MINUTE), share=15)
    assert left(counted, 1.0)[0] == 5


def test_more_than_a_quota_at_once_never_comes_in() -> None:
    assert window(10).wait(11, 0.0) == MINUTE


@given(
    quota=st.integers(1, 20),
    steps=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=80),
)
def test_the_time_to_wait_is_right(quota: int, steps: list[float]) -> None:
    counted, now = window(quota), 1000.0
    for step in steps:
        now += step
        wait = counted.wait(1, now)
        if wait == 0.0:
            counted.take(1, now)
            continue
        assert 0.0 < wait <= 2 * MINUTE
        assert counted.wait(1, now + wait * 0.99) > 0.0 or wait < 1e-6
        assert counted.wait(1, now + wait + 1e-6) < 1e-3
        now += wait


@given(
    quota=st.integers(1, 20),
    steps=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=200),
)
def test_no_window_of_the_clock_lets_twice_the_quota_in(quota: int, steps: list[float]) -> None:
    moments, now = [], 0.0
    for step in steps:
        now += step
        moments.append(now)
    came_in = admitted(window(quota), moments)
    for start in came_in:
        within = [moment for moment in came_in if start <= moment < start + MINUTE]
        assert len(within) < 2 * quota + 1
