"""The reconcile policy: whole states in, actions out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.supervisor.reconcile import (
    MAX_DELAY_SECONDS,
    STABLE_SECONDS,
    Forget,
    ProcessState,
    Start,
    Stop,
    after_exit,
    after_idle_exit,
    next_restart_at,
    reconcile,
    restart_delay,
)

RUNNING = ProcessState(generation=1)
STOPPING = ProcessState(generation=1, stopping=True)
FAILED = ProcessState(generation=1, failed=True)
CRASHED = ProcessState(generation=1, alive=False, crashes=1, retry_at=10.0)


def test_a_desired_key_without_a_process_is_started() -> None:
    assert reconcile({"a": 1}, {}, now=0.0) == (Start("a"),)


def test_a_process_that_runs_as_desired_is_unchanged() -> None:
    assert reconcile({"a": 1}, {"a": RUNNING}, now=0.0) == ()


def test_a_healthy_process_is_unchanged_by_a_new_generation() -> None:
    assert reconcile({"a": 2}, {"a": RUNNING}, now=0.0) == ()


def test_a_key_no_longer_desired_is_stopped_once_and_then_forgotten() -> None:
    assert reconcile({}, {"a": RUNNING}, now=0.0) == (Stop("a"),)
    assert reconcile({}, {"a": STOPPING}, now=0.0) == ()
    gone = after_exit(STOPPING, ran_for=1.0, now=5.0)
    assert reconcile({}, {"a": gone}, now=5.0) == (Forget("a"),)


def test_a_crashed_process_restarts_after_its_delay() -> None:
    assert reconcile({"a": 1}, {"a": CRASHED}, now=9.9) == ()
    assert next_restart_at({"a": 1}, {"a": CRASHED}) == 10.0
    assert reconcile({"a": 1}, {"a": CRASHED}, now=10.0) == (Start("a"),)


def test_a_new_generation_restarts_without_the_delay() -> None:
    assert reconcile({"a": 2}, {"a": CRASHED}, now=0.0) == (Start("a"),)


def test_a_crashed_process_that_is_not_desired_is_forgotten() -> None:
    assert reconcile({}, {"a": CRASHED}, now=0.0) == (Forget("a"),)
    assert next_restart_at({}, {"a": CRASHED}) is None


def test_a_failed_process_stays_until_a_new_generation() -> None:
    assert reconcile({"a": 1}, {"a": FAILED}, now=1e9) == ()
    assert reconcile({"a": 2}, {"a": FAILED}, now=0.0) == (Stop("a"),)
    assert reconcile({"a": 2}, {"a": replace(FAILED, stopping=True)}, now=0.0) == ()
    gone = after_exit(replace(FAILED, stopping=True), ran_for=1.0, now=5.0)
    assert reconcile({"a": 2}, {"a": gone}, now=5.0) == (Start("a"),)


def test_a_key_desired_again_while_it_stops_is_started_after_the_exit() -> None:
    assert reconcile({"a": 2}, {"a": STOPPING}, now=0.0) == ()
    gone = after_exit(STOPPING, ran_for=1.0, now=5.0)
    assert reconcile({"a": 2}, {"a": gone}, now=5.0) == (Start("a"),)


def test_an_idle_process_is_not_started_until_a_new_generation() -> None:
    idle = after_idle_exit(replace(RUNNING, crashes=3), desired=1)
    assert idle.crashes == 0
    assert reconcile({"a": 1}, {"a": idle}, now=1e9) == ()
    assert next_restart_at({"a": 1}, {"a": idle}) is None
    assert reconcile({"a": 2}, {"a": idle}, now=0.0) == (Start("a"),)
    assert reconcile({}, {"a": idle}, now=0.0) == (Forget("a"),)


def test_an_idle_exit_satisfies_all_generations_until_then() -> None:
    assert reconcile({"a": 2}, {"a": after_idle_exit(RUNNING, desired=2)}, now=1e9) == ()
    assert reconcile({"a": 3}, {"a": after_idle_exit(RUNNING, desired=2)}, now=0.0) == (Start("a"),)
    assert after_idle_exit(RUNNING, desired=None).generation == RUNNING.generation


def test_delays_double_up_to_the_maximum() -> None:
    delays = [restart_delay(crashes) for crashes in range(1, 10)]
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == MAX_DELAY_SECONDS
    assert restart_delay(10_000) == MAX_DELAY_SECONDS


def test_after_a_reported_failure_the_delays_are_longer() -> None:
    state, delays = replace(RUNNING, failed=True), []
    for _ in range(7):
        gone = after_exit(state, ran_for=10 * STABLE_SECONDS, now=0.0)
        delays.append(gone.retry_at)
        state = replace(gone, alive=True, failed=True)
    assert delays == [30, 60, 120, 240, 480, 600, 600]


def test_a_stable_run_resets_the_crash_count() -> None:
    often = replace(RUNNING, crashes=7)
    assert after_exit(often, ran_for=STABLE_SECONDS - 1, now=0.0).crashes == 8
    assert after_exit(often, ran_for=STABLE_SECONDS, now=0.0).crashes == 1


held = st.builds(
    ProcessState,
    generation=st.integers(1, 3),
    alive=st.booleans(),
    failed=st.booleans(),
    stopping=st.booleans(),
    idle=st.booleans(),
    retry_at=st.floats(0, 20),
)
keys = st.sampled_from("abc")


@given(st.dictionaries(keys, st.integers(1, 3)), st.dictionaries(keys, held), st.floats(0, 20))
def test_no_key_gets_two_actions_or_a_second_process(
    desired: dict[str, int], have: dict[str, ProcessState], now: float
) -> None:
    actions = reconcile(desired, have, now)
    assert len({action.key for action in actions}) == len(actions)
    for action in actions:
        if isinstance(action, Start):
            assert not (action.key in have and have[action.key].alive)
        if isinstance(action, Stop):
            assert have[action.key].alive
