"""The generic cell rate algorithm, on the test's own clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.gcra import Gcra
from gateway.limits.policy import Policy

MINUTE = 60


def gcra(quota: int) -> Gcra:
    return Gcra(Policy(name="key-minute", quota=quota, window=MINUTE), share=quota)


def admitted(quota: Gcra, times: list[float]) -> list[float]:
    """Make a call at each of these times, and return the times of those that were admitted."""
    return [now for now in times if quota.try_take(1, now) == 0.0]


def test_a_burst_of_the_whole_quota_passes_and_then_one_call_per_interval() -> None:
    quota = gcra(10)
    assert len(admitted(quota, [100.0 + n / 100 for n in range(30)])) == 10
    assert len(admitted(quota, [101.0 + n / 10 for n in range(600)])) == 10


def test_the_third_call_of_two_per_minute_waits_half_a_minute() -> None:
    quota = gcra(2)
    assert len(admitted(quota, [0.0, 0.0])) == 2
    assert quota.seconds_until(1, 0.0) == pytest.approx(30.0)
    assert quota.seconds_until(2, 0.0) == pytest.approx(60.0)
    assert quota.seconds_until(1, 30.0) == 0.0


def test_what_remains_and_when_the_quota_is_whole_again() -> None:
    quota = gcra(10)
    assert quota.remaining(5.0) == (10, 0.0)
    admitted(quota, [5.0] * 4)
    assert quota.remaining(5.0) == (6, pytest.approx(24.0))
    assert quota.remaining(11.0) == (7, pytest.approx(18.0))
    assert quota.remaining(29.0) == (10, 0.0)


def test_rejected_calls_do_not_extend_the_wait() -> None:
    patient, hammering = gcra(10), gcra(10)
    for quota in (patient, hammering):
        admitted(quota, [0.0] * 10)
    assert admitted(hammering, [n / 100 for n in range(1, 600)]) == []
    assert hammering.seconds_until(1, 5.99) == patient.seconds_until(1, 5.99) > 0.0


def test_a_changed_quota_keeps_what_was_used() -> None:
    quota = gcra(10)
    admitted(quota, [0.0] * 10)
    quota.change(Policy(name="key-minute", quota=15, window=MINUTE), share=15)
    assert quota.remaining(0.0)[0] == 5
    quota.change(Policy(name="key-minute", quota=5, window=MINUTE), share=5)
    assert quota.remaining(0.0)[0] == 0
    assert quota.seconds_until(1, 0.0) == pytest.approx(72.0)


def test_more_than_the_quota_at_once_is_never_admitted() -> None:
    assert gcra(10).seconds_until(11, 0.0) == MINUTE
    assert gcra(10).seconds_until(11, 10 * MINUTE) == MINUTE


def test_units_given_back_are_available_again() -> None:
    quota = gcra(3)
    admitted(quota, [0.0, 1.0, 2.0])
    before = quota.remaining(20.0)
    assert quota.try_take(1, 20.0) == 0.0
    assert quota.remaining(20.0) != before
    quota.give_back(1)
    assert quota.remaining(20.0) == before == (1, pytest.approx(40.0))
    assert len(admitted(quota, [20.0, 20.0])) == 1


def test_units_that_were_taken_in_advance_can_be_given_back() -> None:
    quota = gcra(5_000)
    quota.try_take(1, 0.0)
    quota.spare -= 2
    quota.give_back(2)
    assert quota.remaining(0.0)[0] == 4_999
    assert len(admitted(quota, [60.0] * 6_000)) == 5_000


def test_units_taken_in_advance_are_neither_lost_nor_counted_as_used() -> None:
    quota = gcra(5_000)
    assert quota.try_take(1, 0.0) == 0.0
    assert quota.spare == 5
    assert quota.remaining(0.0)[0] == 4_999
    assert quota.seconds_until(4_999, 0.0) == 0.0
    assert quota.seconds_until(5_000, 0.0) == pytest.approx(60 / 5_000)
    quota.change(Policy(name="key-minute", quota=10, window=MINUTE), share=10)
    assert (quota.spare, quota.remaining(0.0)[0]) == (0, 9)


def test_it_is_idle_once_the_quota_is_whole_again() -> None:
    quota = gcra(10)
    admitted(quota, [0.0] * 5)
    assert not quota.is_idle(29.0)
    assert quota.is_idle(30.0)


@given(
    quota=st.integers(1, 20),
    steps=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=80),
)
def test_the_wait_is_exact(quota: int, steps: list[float]) -> None:
    counted, now = gcra(quota), 1000.0
    for step in steps:
        now += step
        wait = counted.try_take(1, now)
        if wait == 0.0:
            continue
        assert wait == counted.seconds_until(1, now)
        assert 0.0 < wait <= MINUTE / quota + 1e-6
        assert counted.seconds_until(1, now + wait * 0.99) > 0.0 or wait < 1e-6
        assert counted.seconds_until(1, now + wait + 1e-6) == 0.0
        now += wait


@given(
    quota=st.integers(1, 20),
    steps=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=200),
)
def test_any_span_admits_at_most_a_burst_and_the_rate(quota: int, steps: list[float]) -> None:
    times, now = [], 0.0
    for step in steps:
        now += step
        times.append(now)
    passed = admitted(gcra(quota), times)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], 1):
            assert last <= quota + quota * (end - start) / MINUTE + 1e-6
