"""Several processes that count together, in a Redis of the tests' own."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from gateway.limits.gate import Gate
from gateway.limits.room import LimitRoom
from tests.gateway.limits.rooms import DEPLOYMENT, let_in, refusal_of, room
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services

_PATIENCE = 10.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


class Processes:
    """As many processes as a test wants, each with its limits."""

    numbers = itertools.count()

    def __init__(self, url: str, tmp_path: Path) -> None:
        self._settings: dict[str, Any] = {"rate_limit_url": url, "state": tmp_path, "workers": 2}
        self.rooms: list[LimitRoom] = []
        self.key = f"key {next(self.numbers)}"

    def gate(self, limits: CallLimits) -> Gate:
        """Return the gate of one key in a further process."""
        self.rooms.append(room(**self._settings))
        return self.again(limits)

    def again(self, limits: CallLimits) -> Gate:
        """Return the gate of the last process."""
        gate = self.rooms[-1].gates.of_call(self.key, limits, DEPLOYMENT, None)
        assert gate is not None
        return gate


@pytest.fixture
async def processes(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Processes]:
    made = Processes(redis.url, tmp_path)
    yield made
    for limits in made.rooms:
        await limits.close()


async def test_a_small_quota_is_exact_over_all_processes(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=10)
    gates = [processes.gate(quota) for _ in range(3)]
    passed = await asyncio.gather(*(let_in(gate, 20) for gate in gates))
    assert sum(passed) == 10


async def test_a_large_quota_is_never_exceeded_and_hardly_wasted(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=2000)
    gates = [processes.gate(quota) for _ in range(3)]
    passed = sum(await asyncio.gather(*(let_in(gate, 1500) for gate in gates)))
    assert 2000 - 3 * 2 * 20 <= passed <= 2000


async def test_most_calls_of_a_large_quota_wait_for_nobody(processes: Processes) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=100_000))
    await let_in(gate, 1)
    at_once = 0
    for _ in range(2000):
        if gate.enter():
            gate.leave()
            at_once += 1
        else:
            await let_in(gate, 1)
        await asyncio.sleep(0)
    assert at_once > 1900


async def test_what_is_left_is_what_all_have_left(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=10)
    await let_in(processes.gate(quota), 6)
    other = processes.gate(quota)
    await let_in(other, 1)
    assert dict(other.headers())[b"ratelimit"].startswith(b'"key-minute";r=3;t=')


async def test_a_refusal_says_when_to_come_again_and_is_not_counted(processes: Processes) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=5))
    assert await let_in(gate, 50) == 5
    refusal = await refusal_of(gate)
    assert refusal is not None
    assert refusal.retry_after is not None
    assert 60 <= refusal.retry_after <= 2 * 66


async def test_what_is_too_little_for_many_is_there_for_one(processes: Processes) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=10))
    await gate.enter_slowly(8)
    with pytest.raises(GatewayError):
        await gate.enter_slowly(8)
    assert await let_in(gate, 5) == 2


async def test_the_last_units_of_a_large_quota_are_used(processes: Processes) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=995))
    assert await let_in(gate, 1200) == 995


async def test_another_quota_counts_what_was_used(processes: Processes) -> None:
    await let_in(processes.gate(CallLimits(calls_per_minute=5)), 5)
    assert await let_in(processes.again(CallLimits(calls_per_minute=8)), 10) == 3


async def test_without_redis_each_process_has_its_share_until_redis_is_back(
    processes: Processes, redis: RedisServer
) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=20))
    await let_in(gate, 1)
    redis.end()
    try:
        began = time.monotonic()
        assert await let_in(gate, 30) == 10
        assert time.monotonic() - began < _PATIENCE
    finally:
        redis.start()
    deadline = time.monotonic() + _PATIENCE
    while await refusal_of(gate) is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_redis_that_does_not_answer_costs_a_moment_and_no_call(
    processes: Processes, redis: RedisServer
) -> None:
    gate = processes.gate(CallLimits(calls_per_minute=20))
    await let_in(gate, 1)
    redis.suspend()
    try:
        began = time.monotonic()
        assert await let_in(gate, 10) == 10
        assert time.monotonic() - began < _PATIENCE
    finally:
        redis.resume()
