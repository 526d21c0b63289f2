"""The limits of a call: several quotas, of which all admit it or none counts it."""

from __future__ import annotations

from time import perf_counter

import pytest

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits, apply_limits_patch
from gateway.limits.counter_store import CounterStore
from gateway.limits.rate_limiter import RateLimiter
from gateway.web.problems import problem
from protos.errors import ErrorCode
from telemetry.instruments import Registry
from tests.gateway.limits.limiters import (
    DEPLOYMENT,
    KEY,
    admitted_calls,
    build_limits,
    fast_limit,
    rejection_of,
)


def test_without_limits_there_is_nothing_to_pass() -> None:
    assert build_limits().rate_limiter.for_call(KEY, None, DEPLOYMENT, None) is None


async def test_headers_report_the_policies_and_what_remains() -> None:
    rate_limit = fast_limit(build_limits(), CallLimits(calls_per_minute=3, concurrent_runs=2))
    await rate_limit.acquire()
    assert dict(rate_limit.headers()) == {
        b"ratelimit-policy": b'"key-minute";q=3;w=60, "key-runs";q=2;qu="concurrent-requests"',
        b"ratelimit": b'"key-minute";r=2;t=20, "key-runs";r=1',
    }
    assert rate_limit.header_lines(perf_counter()).startswith(
        b'ratelimit-policy: "key-minute";q=3;w=60, "key-runs";q=2'
    )


async def test_the_reported_remainder_lags_by_at_most_one_hundredth() -> None:
    rate_limit = fast_limit(build_limits(), CallLimits(calls_per_minute=1000))
    said = []
    for _ in range(1000):
        assert rate_limit.try_acquire()
        said.append(
            int(dict(rate_limit.headers())[b"ratelimit"].split(b";")[1].removeprefix(b"r="))
        )
    left = range(999, -1, -1)
    assert all(
        0 <= heard - is_left <= heard / 100 for heard, is_left in zip(said, left, strict=True)
    )
    assert said[0] == said[5] == 999
    assert said[-100:] == list(left)[-100:]


async def test_a_rejection_always_reports_the_exact_remainder() -> None:
    limits = build_limits()
    of = CallLimits(calls_per_minute=1000)
    first = limits.rate_limiter.for_call("a", None, DEPLOYMENT, of)
    second = limits.rate_limiter.for_call("b", None, DEPLOYMENT, of)
    assert first is not None
    assert second is not None
    await admitted_calls(first, 1)
    assert b";r=999;" in first.header_lines(perf_counter())
    await admitted_calls(second, 999)
    assert await rejection_of(first) is not None
    assert b";r=0;" in first.header_lines(perf_counter())


async def test_a_rejection_is_a_problem_of_the_registered_type() -> None:
    rate_limit = fast_limit(build_limits(), CallLimits(calls_per_minute=1))
    await admitted_calls(rate_limit, 1)
    rejection = await rejection_of(rate_limit)
    assert rejection is not None
    status, headers, body = problem(rejection, b"req_1")
    assert status == 429
    assert b'"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"' in body
    assert b'"violated-policies":["key-minute"]' in body
    assert b'"code":"rate_limited"' in body
    assert 59 <= int(dict(headers)[b"retry-after"]) <= 66


async def test_a_call_rejected_by_one_quota_is_counted_by_no_other() -> None:
    limits = build_limits()
    strict = CallLimits(calls_per_minute=2)
    rate_limit = fast_limit(limits, CallLimits(calls_per_minute=100), strict)
    assert await admitted_calls(rate_limit, 50) == 2
    assert dict(rate_limit.headers())[b"ratelimit"].startswith(b'"key-minute";r=98;')


async def test_two_keys_share_the_quota_of_their_deployment_and_not_their_own() -> None:
    limits, own = build_limits(), CallLimits(calls_per_minute=4)
    of = CallLimits(calls_per_minute=6)
    first = limits.rate_limiter.for_call("a", own, DEPLOYMENT, of)
    second = limits.rate_limiter.for_call("b", own, DEPLOYMENT, of)
    assert first is not None
    assert second is not None
    assert (await admitted_calls(first, 10), await admitted_calls(second, 10)) == (4, 2)


async def test_calls_in_progress_are_limited_and_finished_ones_make_room() -> None:
    rate_limit = fast_limit(build_limits(), CallLimits(concurrent_runs=2))
    assert rate_limit.try_acquire()
    assert rate_limit.try_acquire()
    with pytest.raises(GatewayError) as refused:
        rate_limit.try_acquire()
    assert refused.value.code is ErrorCode.TOO_MANY_RUNS
    rate_limit.release()
    assert rate_limit.try_acquire()


async def test_polls_use_no_quota_of_calls() -> None:
    limits, own = build_limits(), CallLimits(calls_per_minute=1, polls_per_minute=5)
    polls = limits.rate_limiter.for_poll(KEY, own)
    assert polls is not None
    assert await admitted_calls(polls, 10) == 5
    assert await admitted_calls(fast_limit(limits, own), 10) == 1


async def test_the_operators_defaults_apply_where_a_key_sets_no_limit() -> None:
    limits = build_limits(key_calls_per_minute=3, deployment_calls_per_minute=100)
    assert await admitted_calls(fast_limit(limits, None), 10) == 3
    generous = CallLimits(calls_per_minute=5)
    assert await admitted_calls(fast_limit(limits, generous), 10) == 2, "three were used before"


async def test_without_redis_each_process_has_its_share() -> None:
    limits = build_limits(workers=2)
    assert await admitted_calls(fast_limit(limits, CallLimits(calls_per_minute=10)), 10) == 5


async def test_rejections_are_counted_by_policy() -> None:
    limits = build_limits()
    rate_limit = fast_limit(limits, CallLimits(calls_per_minute=1))
    await admitted_calls(rate_limit, 4)
    assert rate_limit._rejections.child("key-minute").value == 3


def test_a_patch_changes_only_the_members_it_names() -> None:
    stored = {"calls_per_minute": 5, "concurrent_runs": 1}
    assert apply_limits_patch(stored, {"calls_per_minute": None, "calls_per_day": 9}) == {
        "concurrent_runs": 1,
        "calls_per_day": 9,
    }
    assert apply_limits_patch(stored, None) is None
    assert apply_limits_patch(None, {"calls_per_day": None}) is None


def test_dropped_counters_start_a_new_epoch() -> None:
    rejections = Registry().counter("refused", "Refused.", ("policy",))
    rate_limiter = RateLimiter(CounterStore(None, processes=1, max_counters=2), rejections)
    own = CallLimits(calls_per_minute=4)
    first, epoch = rate_limiter.for_call("a", own, DEPLOYMENT, None), rate_limiter.epoch
    rate_limiter.for_call("b", own, DEPLOYMENT, None)
    assert rate_limiter.for_call("a", own, DEPLOYMENT, None) is first
    assert rate_limiter.epoch == epoch
    rate_limiter.for_call("c", own, DEPLOYMENT, None)
    assert rate_limiter.epoch > epoch
    assert rate_limiter.for_call("a", own, DEPLOYMENT, None) is not first
