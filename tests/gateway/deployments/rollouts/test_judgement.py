"""When a candidate has failed a check."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import pytest

from gateway.deployments.rollout_settings import Cause, Checks
from gateway.deployments.rollouts.judgement import (
    Verdict,
    add_report,
    has_passed,
    judge,
    slowest_allowed,
    wilson_interval,
)
from gateway.deployments.rollouts.observations import Calls, Observations
from gateway.deployments.rollouts.outputs import find_difference
from gateway.fast_path.call_record import DeploymentCallRecord
from protos.errors import ErrorCode

CHECKS = Checks(tolerance=0.01)
BEGIN = datetime(2026, 11, 29, tzinfo=UTC)


def calls(answered: int, failed: int = 0, seconds: float = 0.01) -> Calls:
    """Return calls, of which `failed` failed and the others took `seconds`."""
    seen = Calls()
    for number in range(answered):
        seen.add(seconds, failed=number < failed)
    return seen


def verdict(baseline: Calls, candidate: Calls, checks: Checks = CHECKS) -> Verdict | None:
    """Return the judgement of two versions that were not compared, and slow in many reports."""
    seen = Observations(baseline=baseline, candidate=candidate, slow_at=[BEGIN] * 3)
    return judge(seen, checks, baseline=1, candidate=2)


def test_a_candidate_that_always_fails_needs_only_five_calls() -> None:
    assert verdict(calls(100), calls(4, failed=4)) is None
    found = verdict(calls(100), calls(5, failed=5))
    assert found is not None
    assert found.cause is Cause.ERRORS
    assert found.reason == (
        "5 of the last 5 calls of version 2 failed, of version 1 0 of 100; 2.0% more are allowed"
    )


def test_versions_that_fail_alike_are_no_reason() -> None:
    assert verdict(calls(900, failed=450), calls(100, failed=55)) is None
    assert verdict(calls(9, failed=9), calls(100, failed=100)) is None
    found = verdict(calls(900, failed=450), calls(100, failed=75))
    assert found is not None
    assert found.cause is Cause.ERRORS


def test_a_few_more_failures_are_allowed() -> None:
    assert verdict(calls(1_000, failed=1), calls(1_000, failed=20)) is None
    assert verdict(calls(1_000, failed=1), calls(1_000, failed=60)) is not None
    patient = Checks(max_error_increase=0.1)
    assert verdict(calls(1_000, failed=1), calls(1_000, failed=60), patient) is None


def test_without_calls_of_the_live_version_nothing_is_judged() -> None:
    assert verdict(calls(0), calls(100, failed=100)) is None
    assert verdict(calls(0), calls(100, seconds=5)) is None


def test_a_slow_candidate_is_found_after_twenty_calls() -> None:
    assert verdict(calls(100, seconds=0.01), calls(19, seconds=0.1)) is None
    found = verdict(calls(100, seconds=0.01), calls(20, seconds=0.1))
    assert found is not None
    assert found.cause is Cause.LATENCY
    assert "2 times are allowed" in found.reason
    assert verdict(calls(100, seconds=0.01), calls(200, seconds=0.015)) is None
    unchecked = Checks(max_latency_ratio=None)
    assert verdict(calls(100, seconds=0.01), calls(20, seconds=10), unchecked) is None


def test_milliseconds_of_a_quick_model_are_no_reason() -> None:
    assert verdict(calls(100, seconds=0.0002), calls(100, seconds=0.004)) is None


def test_equal_versions_are_hardly_ever_rolled_back() -> None:
    """Of 300 canaries of 1,000 calls, each judged after every ten, one in fifty at most."""
    chance = random.Random(3)
    rolled_back = 0
    for _ in range(300):
        old, new = Calls(), Calls()
        for number in range(1_000):
            side = new if chance.random() < 0.1 else old
            side.add(chance.lognormvariate(-5, 0.7), failed=chance.random() < 0.01)
            if number % 10 == 9 and verdict(old, new) is not None:
                rolled_back += 1
                break
    assert rolled_back <= 6


def test_what_happened_lately_decides() -> None:
    seen = Observations(baseline=calls(18_000), candidate=calls(2_000))
    for _ in range(3):
        seen.merge(Observations(baseline=calls(90), candidate=calls(10, failed=10)))
    assert seen.candidate.answered < 2_000
    assert judge(seen, CHECKS, baseline=1, candidate=2) is None
    for _ in range(7):
        seen.merge(Observations(baseline=calls(90), candidate=calls(10, failed=10)))
    found = judge(seen, CHECKS, baseline=1, candidate=2)
    assert found is not None
    assert found.cause is Cause.ERRORS


def test_versions_are_compared_over_the_same_time() -> None:
    """Something that both need fails for a while, and is repaired."""
    seen = Observations()
    for turn in range(400):
        share = 1 if 100 <= turn < 160 else 0
        seen.merge(
            Observations(
                baseline=calls(45, failed=45 * share), candidate=calls(5, failed=5 * share)
            )
        )
        assert judge(seen, CHECKS, baseline=1, candidate=2) is None, turn


class Rollout:
    """What gateways report one after the other."""

    def __init__(self, live: int) -> None:
        self.total = Observations(baseline=calls(live))
        self.moment = BEGIN

    def report(self, candidate: Calls, *, after: float = 0.5, live: int = 0) -> Verdict | None:
        """Return the judgement after one more report."""
        self.moment += timedelta(seconds=after)
        seen = Observations(baseline=calls(live), candidate=candidate)
        add_report(self.total, seen, CHECKS, moment=self.moment)
        return judge(self.total, CHECKS, baseline=1, candidate=2)


def late(number: int) -> Calls:
    """Return calls that still wait."""
    seen = Calls()
    seen.late = number
    return seen


def test_one_batch_that_was_held_up_is_no_reason() -> None:
    rollout = Rollout(40)
    assert rollout.report(calls(20)) is None
    assert rollout.report(late(22)) is None
    assert rollout.report(late(22), after=0.1) is None, "another gateway reports the same moment"
    assert rollout.report(calls(22, seconds=0.5)) is None
    for _ in range(3):
        assert rollout.report(calls(22)) is None
    assert rollout.report(calls(22, seconds=0.5)) is None
    found = rollout.report(calls(22, seconds=0.5), after=1)
    assert found is not None
    assert found.cause is Cause.LATENCY


def test_single_slow_calls_are_no_slow_moments() -> None:
    rollout = Rollout(400)
    for _ in range(10):
        mostly_quick = calls(40)
        mostly_quick.add(0.5)
        assert rollout.report(mostly_quick, after=5) is None
    assert rollout.report(calls(200, seconds=0.5)) is None


def test_slow_moments_are_forgotten() -> None:
    rollout = Rollout(40)
    assert rollout.report(calls(22, seconds=0.5)) is None
    assert rollout.report(calls(22, seconds=0.5), after=1) is None
    assert rollout.report(calls(22, seconds=0.5), after=700) is None


def test_a_slow_candidate_is_found_at_any_rate() -> None:
    rollout = Rollout(5_000)
    found = [rollout.report(calls(2_500, seconds=0.1), live=2_500) for _ in range(6)]
    assert found[-1] is not None
    assert found[-1].cause is Cause.LATENCY


def test_a_candidate_that_answers_nothing_is_found() -> None:
    rollout = Rollout(100)
    assert rollout.report(late(5), after=1) is None
    assert rollout.report(late(5), after=1) is None
    found = rollout.report(late(5), after=1)
    seen = rollout.total
    assert found is not None
    assert found.cause is Cause.LATENCY
    assert found.reason.startswith("5 calls of version 2 wait for longer than")
    seen.baseline.late = 60
    assert judge(seen, CHECKS, baseline=1, candidate=2) is None, "both versions wait"
    assert Observations.model_validate(seen.model_dump(mode="json")).candidate.late == 0


@pytest.mark.parametrize(
    ("live", "tried", "compared", "different"),
    [
        (calls(19), calls(100), 100, 0),
        (calls(100), calls(19), 100, 0),
        (calls(100), calls(100, failed=4), 100, 0),
        (calls(100), calls(100), 19, 0),
        (calls(100), calls(100), 100, 2),
        (calls(100, seconds=0.1), calls(100, seconds=0.3), 100, 0),
    ],
)
def test_a_candidate_passes_only_if_enough_was_seen_and_it_is_within_the_checks(
    live: Calls, tried: Calls, compared: int, different: int
) -> None:
    seen = Observations(baseline=live, candidate=tried, compared=compared, different=different)
    assert not has_passed(seen, CHECKS)
    assert has_passed(
        Observations(baseline=calls(20), candidate=calls(20), compared=20, different=0), CHECKS
    )


def test_outputs_that_differ_are_a_reason_and_the_example_is_shown() -> None:
    seen = Observations(baseline=calls(100), candidate=calls(20))
    for _ in range(4):
        seen.compare("/y/0 is 1 by the live version, and 2")
    assert judge(seen, CHECKS, baseline=1, candidate=2) is None
    seen.compare("/y/0 is 1 by the live version, and 3")
    found = judge(seen, CHECKS, baseline=1, candidate=2)
    assert found is not None
    assert found.cause is Cause.OUTPUTS
    assert seen.example == "/y/0 is 1 by the live version, and 3"
    assert "/y/0" not in found.reason, "it is logged, and values belong to the caller"
    for _ in range(2_000):
        seen.compare(None)
    assert judge(seen, CHECKS, baseline=1, candidate=2) is None


def test_refusals_by_limits_and_callers_that_leave_say_nothing() -> None:
    seen = Calls()
    for error in (ErrorCode.RATE_LIMITED, ErrorCode.CANCELLED, ErrorCode.INVALID_INPUT):
        call = DeploymentCallRecord()
        call.error = error
        seen.count([call])
    assert (seen.answered, seen.failed) == (1, 1)


def test_observations_survive_the_database() -> None:
    seen = Observations(baseline=calls(7, failed=2), candidate=calls(3, seconds=2.5))
    seen.compare("/y is 1 by the live version, and 2")
    assert Observations.model_validate(seen.model_dump(mode="json")) == seen


def test_a_quantile_is_known_to_ten_per_cent() -> None:
    seen = Calls()
    for number in range(1, 1_001):
        seen.add(number / 1_000)
    assert seen.quantile(0.5) == pytest.approx(0.5, rel=0.11)
    assert seen.quantile(0.9) == pytest.approx(0.9, rel=0.11)


def test_the_interval_is_wilsons() -> None:
    """Its ends are the shares p for which (seen - p)² = z² p (1 - p) / n."""
    z = NormalDist().inv_cdf(0.99)
    for successes, trials in ((3, 50), (49, 50), (900, 1_000)):
        for end in wilson_interval(successes, trials):
            variance = z**2 * end * (1 - end) / trials
            assert (successes / trials - end) ** 2 == pytest.approx(variance)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_patience_ends_at_what_is_allowed() -> None:
    assert slowest_allowed(Observations(), CHECKS) == float("inf")
    seen = Observations(baseline=calls(1_000, seconds=0.1))
    assert slowest_allowed(seen, CHECKS) == pytest.approx(0.2, rel=0.11)


def test_outputs_are_compared_with_a_tolerance() -> None:
    assert find_difference(b'{"y":[1.0,2.0]}', b'{"y":[1.005,2.0]}', 0.01) is None
    assert find_difference(b'{"y":[1.0,200]}', b'{"y":[1.0,201]}', 0.01) is None
    assert find_difference(b'{"y":[1.0,2.0]}', b'{"y":[1.0,2.1]}', 0.01) == (
        "/y/1 is 2.0 by the live version, and 2.1"
    )
    assert find_difference(b'{"y":["NaN"]}', b'{"y":[1.0]}', 1.0) is not None
    assert find_difference(b'{"y":["NaN"]}', b'{"y": ["NaN"]}', 0.0) is None
    assert find_difference(b'{"label":"cat"}', b'{"label":"dog"}', 1.0) is not None
    assert find_difference(b'{"y":[1]}', b'{"y":[1,1]}', 1.0) is not None
    assert find_difference(b'{"y":true}', b'{"y":1}', 1.0) is not None
    assert find_difference(b'{"y":1}', b'{"z":1}', 1.0) is not None
