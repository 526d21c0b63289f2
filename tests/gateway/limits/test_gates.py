"""What a call passes: one gate, several quotas, all or none."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits, patched
from gateway.limits.gates import Gates
from gateway.limits.ledger import Ledger
from gateway.web.problems import problem
from protos.errors import ErrorCode
from telemetry.instruments import Registry
from tests.gateway.limits.rooms import DEPLOYMENT, KEY, fast_gate, let_in, refusal_of, room


def test_where_nothing_is_limited_there_is_no_gate() -> None:
    assert room().gates.of_call(KEY, None, DEPLOYMENT, None) is None


async def test_headers_say_the_policies_and_what_is_left() -> None:
    gate = fast_gate(room(), CallLimits(calls_per_minute=3, concurrent_runs=2))
    await gate.enter_slowly()
    assert dict(gate.headers()) == {
        b"ratelimit-policy": b'"key-minute";q=3;w=60, "key-runs";q=2;qu="concurrent-requests"',
        b"ratelimit": b'"key-minute";r=2;t=60, "key-runs";r=1',
    }
    assert gate.lines().startswith(b'ratelimit-policy: "key-minute";q=3;w=60, "key-runs";q=2')


async def test_where_much_is_left_a_hundredth_of_it_may_pass_before_that_is_said_anew() -> None:
    gate = fast_gate(room(), CallLimits(calls_per_minute=1000))
    said = []
    for _ in range(1000):
        assert gate.enter()
        said.append(int(dict(gate.headers())[b"ratelimit"].split(b";")[1].removeprefix(b"r=")))
    left = range(999, -1, -1)
    assert all(
        0 <= heard - is_left <= heard / 100 for heard, is_left in zip(said, left, strict=True)
    )
    assert said[0] == said[5] == 999
    assert said[-100:] == list(left)[-100:]


async def test_a_refusal_says_what_is_left_however_much_that_was() -> None:
    limits = room()
    of = CallLimits(calls_per_minute=1000)
    first = limits.gates.of_call("a", None, DEPLOYMENT, of)
    second = limits.gates.of_call("b", None, DEPLOYMENT, of)
    assert first is not None
    assert second is not None
    await let_in(first, 1)
    assert b";r=999;" in first.lines()
    await let_in(second, 999)
    assert await refusal_of(first) is not None
    assert b";r=0;" in first.lines()


async def test_a_refusal_is_a_problem_of_the_registered_type() -> None:
    gate = fast_gate(room(), CallLimits(calls_per_minute=1))
    await let_in(gate, 1)
    refusal = await refusal_of(gate)
    assert refusal is not None
    status, headers, body = problem(refusal, b"req_1")
    assert status == 429
    assert b'"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"' in body
    assert b'"violated-policies":["key-minute"]' in body
    assert b'"code":"rate_limited"' in body
    assert 60 <= int(dict(headers)[b"retry-after"]) <= 132


async def test_what_one_quota_refuses_is_counted_by_no_other() -> None:
    limits = room()
    strict = CallLimits(calls_per_minute=2)
    gate = fast_gate(limits, CallLimits(calls_per_minute=100), strict)
    assert await let_in(gate, 50) == 2
    assert dict(gate.headers())[b"ratelimit"].startswith(b'"key-minute";r=98;')


async def test_two_keys_share_the_quota_of_their_deployment_and_not_their_own() -> None:
    limits, own = room(), CallLimits(calls_per_minute=4)
    of = CallLimits(calls_per_minute=6)
    first = limits.gates.of_call("a", own, DEPLOYMENT, of)
    second = limits.gates.of_call("b", own, DEPLOYMENT, of)
    assert first is not None
    assert second is not None
    assert (await let_in(first, 10), await let_in(second, 10)) == (4, 2)


async def test_calls_that_go_on_are_as_many_as_may_and_those_that_ended_give_room() -> None:
    gate = fast_gate(room(), CallLimits(concurrent_runs=2))
    assert gate.enter()
    assert gate.enter()
    with pytest.raises(GatewayError) as refused:
        gate.enter()
    assert refused.value.code is ErrorCode.TOO_MANY_RUNS
    gate.leave()
    assert gate.enter()


async def test_polls_use_up_nothing_of_calls() -> None:
    limits, own = room(), CallLimits(calls_per_minute=1, polls_per_minute=5)
    polls = limits.gates.of_poll(KEY, own)
    assert polls is not None
    assert await let_in(polls, 10) == 5
    assert await let_in(fast_gate(limits, own), 10) == 1


async def test_the_operators_defaults_stand_where_a_key_says_nothing() -> None:
    limits = room(key_calls_per_minute=3, deployment_calls_per_minute=100)
    assert await let_in(fast_gate(limits, None), 10) == 3
    generous = CallLimits(calls_per_minute=5)
    assert await let_in(fast_gate(limits, generous), 10) == 2, "three are counted already"


async def test_several_processes_without_redis_have_a_share_each() -> None:
    limits = room(workers=2)
    assert await let_in(fast_gate(limits, CallLimits(calls_per_minute=10)), 10) == 5


async def test_refusals_are_counted_by_policy() -> None:
    limits = room()
    gate = fast_gate(limits, CallLimits(calls_per_minute=1))
    await let_in(gate, 4)
    assert gate._refusals.child("key-minute").value == 3


def test_a_patch_changes_what_it_names() -> None:
    stored = {"calls_per_minute": 5, "concurrent_runs": 1}
    assert patched(stored, {"calls_per_minute": None, "calls_per_day": 9}) == {
        "concurrent_runs": 1,
        "calls_per_day": 9,
    }
    assert patched(stored, None) is None
    assert patched(None, {"calls_per_day": None}) is None


def test_a_gate_from_before_counts_were_forgotten_is_of_another_epoch() -> None:
    refusals = Registry().counter("refused", "Refused.", ("policy",))
    gates = Gates(Ledger(None, processes=1, most=2), refusals)
    own = CallLimits(calls_per_minute=4)
    first, epoch = gates.of_call("a", own, DEPLOYMENT, None), gates.epoch
    gates.of_call("b", own, DEPLOYMENT, None)
    assert gates.of_call("a", own, DEPLOYMENT, None) is first
    assert gates.epoch == epoch
    gates.of_call("c", own, DEPLOYMENT, None)
    assert gates.epoch > epoch
    assert gates.of_call("a", own, DEPLOYMENT, None) is not first
