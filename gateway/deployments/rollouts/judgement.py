"""Whether a candidate has failed a check, by statistics that a few odd calls do not deceive.

A share is known from n calls only to within its Wilson score interval
(https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval), and a
quantile to within the order statistics that such an interval selects. A candidate has failed if
even the lower end of its interval is worse than the upper end of the live version's, and more than
the checks allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist

from gateway.deployments.rollout_settings import Cause, Checks
from gateway.deployments.rollouts.observations import Calls, Observations

_Z = NormalDist().inv_cdf(0.99)
"""Each end of an interval is wrong in one of 100 cases."""
_MIN_FAILURES = 5
"""Calls that must have failed, or outputs that must differ: fewer can be an accident."""
MIN_CALLS = 20
"""Calls of the candidate before its times are judged, and of both before it goes live by itself."""
_TAIL = 0.9
_SLOW_MOMENTS = 3
"""A batch whose items wait for each other, or a host that stands still for a moment, makes many
calls slow at once, and no more of them later."""
_MOMENT = timedelta(seconds=1)
_LATELY = timedelta(minutes=10)
_MIN_EXCESS_SECONDS = 0.005
"""Of nine of ten calls: less is no reason, however fast the live version is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a candidate is rolled back."""

    cause: Cause
    reason: str


def add_report(
    total: Observations, seen: Observations, checks: Checks, *, moment: datetime
) -> None:
    """Add what a gateway has seen in the half second before `moment`."""
    late, tail = seen.candidate.late, seen.candidate.quantile(_TAIL)
    if late >= _MIN_FAILURES or tail > slowest_allowed(total, checks):
        lately = [one for one in total.slow_at if moment - one < _LATELY]
        if not lately or moment - lately[-1] >= _MOMENT:
            lately.append(moment)
        total.slow_at = lately[-_SLOW_MOMENTS:]
    total.merge(seen)


def judge(seen: Observations, checks: Checks, *, baseline: int, candidate: int) -> Verdict | None:
    """Return the first check that the candidate has failed, or None.

    `baseline` and `candidate` are the numbers of the versions, for the reason.
    """
    live, tried = f"version {baseline}", f"version {candidate}"
    reason = _errors(seen, checks, live, tried)
    if reason is not None:
        return Verdict(cause=Cause.ERRORS, reason=reason)
    reason = _outputs(seen, checks, live, tried)
    if reason is not None:
        return Verdict(cause=Cause.OUTPUTS, reason=reason)
    reason = _latency(seen, checks, live, tried)
    if reason is not None:
        return Verdict(cause=Cause.LATENCY, reason=reason)
    return None


def _errors(seen: Observations, checks: Checks, live: str, tried: str) -> str | None:
    new, old = seen.candidate, seen.baseline
    lowest, _ = wilson_interval(new.failed, new.answered)
    _, highest = wilson_interval(old.failed, old.answered)
    if new.failed < _MIN_FAILURES or lowest <= highest + checks.max_error_increase:
        return None
    return (
        f"{new.failed:.0f} of the last {new.answered:.0f} calls of {tried} failed, of {live} "
        f"{old.failed:.0f} of {old.answered:.0f}; {checks.max_error_increase:.1%} more are allowed"
    )


def _outputs(seen: Observations, checks: Checks, live: str, tried: str) -> str | None:
    lowest, _ = wilson_interval(seen.different, seen.compared)
    if seen.different < _MIN_FAILURES or lowest <= checks.max_different:
        return None
    return (
        f"{seen.different:.0f} of {seen.compared:.0f} outputs of {tried} differ from those of "
        f"{live} by more than {checks.tolerance:g}; {checks.max_different:.1%} are allowed"
    )


def _latency(seen: Observations, checks: Checks, live: str, tried: str) -> str | None:
    new, old = seen.candidate, seen.baseline
    if checks.max_latency_ratio is None or len(seen.slow_at) < _SLOW_MOMENTS:
        return None
    allowed = slowest_allowed(seen, checks)
    lowest, _ = wilson_interval(new.late, new.timed + new.late)
    _, highest = wilson_interval(old.late, old.timed + old.late)
    if new.late >= _MIN_FAILURES and lowest > highest + checks.max_error_increase:
        return (
            f"{new.late} calls of {tried} wait for longer than {_milliseconds(allowed)}, of {live} "
            f"{old.late}"
        )
    lowest, _ = _tail_interval(new)
    if new.timed < MIN_CALLS or lowest <= allowed:
        return None
    return (
        f"nine of ten calls of {tried} take up to {_milliseconds(new.quantile(_TAIL))}, of {live} "
        f"{_milliseconds(old.quantile(_TAIL))}; {checks.max_latency_ratio:g} times are allowed"
    )


def has_passed(seen: Observations, checks: Checks) -> bool:
    """Whether enough was seen of both versions to say that the candidate is within the checks.

    Not to have failed is less: a few calls can prove nothing.
    """
    new, old = seen.candidate, seen.baseline
    if min(new.timed, old.timed) < MIN_CALLS:
        return False
    if new.failed / new.answered > old.failed / old.answered + checks.max_error_increase:
        return False
    if checks.tolerance is not None and (
        seen.compared < MIN_CALLS or seen.different / seen.compared > checks.max_different
    ):
        return False
    ratio = checks.max_latency_ratio
    if ratio is None:
        return True
    slowest = old.quantile(_TAIL)
    return new.quantile(_TAIL) <= max(slowest * ratio, slowest + _MIN_EXCESS_SECONDS)


def slowest_allowed(seen: Observations, checks: Checks) -> float:
    """Return what nine of ten calls of the candidate may take, in seconds."""
    _, highest = _tail_interval(seen.baseline)
    ratio = checks.max_latency_ratio or float("inf")
    return max(highest * ratio, highest + _MIN_EXCESS_SECONDS)


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return the ends of the Wilson score interval of a share; 0 and 1 without trials."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z * _Z / trials
    middle = share + z2 / 2
    half = _Z * sqrt((share * (1 - share) + z2 / 4) / trials)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def _tail_interval(calls: Calls) -> tuple[float, float]:
    """Return between which times, in seconds, the time of nine of ten calls lies."""
    lowest, highest = wilson_interval(_TAIL * calls.timed, calls.timed)
    return calls.quantile(lowest), calls.quantile(highest) if calls.timed else float("inf")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
