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
from gateway.limits.rate_limit import RateLimit
from gateway.limits.request_limits import RequestLimits
from tests.gateway.limits.helpers import DEPLOYMENT, admitted_calls, build_limits, rejection_of
from tests.services.redis import RedisServer

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
        self.rooms: list[RequestLimits] = []
        self.key = f"key {next(self.numbers)}"

    def rate_limit(self, limits: CallLimits) -> RateLimit:
        """Return the gate of one key in a further process."""
        self.rooms.append(build_limits(**self._settings))
        return self.again(limits)

    def again(self, limits: CallLimits) -> RateLimit:
        """Return the gate of the last process."""
        rate_limit = self.rooms[-1].rate_limiter.for_call(self.key, limits, DEPLOYMENT, None)
        assert rate_limit is not None
        return rate_limit


@pytest.fixture
async def processes(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Processes]:
    made = Processes(redis.url, tmp_path)
    yield made
    for limits in made.rooms:
        await limits.close()


async def test_a_small_quota_is_exact_over_all_processes(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=10)
    rate_limiter = [processes.rate_limit(quota) for _ in range(3)]
    passed = await asyncio.gather(*(admitted_calls(rate_limit, 20) for rate_limit in rate_limiter))
    assert sum(passed) == 10


async def test_a_large_quota_is_never_exceeded_and_hardly_wasted(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=2000)
    rate_limiter = [processes.rate_limit(quota) for _ in range(3)]
    passed = sum(
        await asyncio.gather(*(admitted_calls(rate_limit, 1500) for rate_limit in rate_limiter))
    )
    assert 2000 - 3 * 2 * 20 <= passed <= 2000


async def test_most_calls_of_a_large_quota_wait_for_nobody(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=100_000))
    await admitted_calls(rate_limit, 1)
    at_once = 0
    for _ in range(2000):
        if rate_limit.try_acquire():
            rate_limit.release()
            at_once += 1
        else:
            await admitted_calls(rate_limit, 1)
        await asyncio.sleep(0)
    assert at_once > 1900


async def test_what_is_left_is_what_all_have_left(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=10)
    await admitted_calls(processes.rate_limit(quota), 6)
    other = processes.rate_limit(quota)
    await admitted_calls(other, 1)
    assert dict(other.headers())[b"ratelimit"].startswith(b'"key-minute";r=3;t=')


async def test_a_refusal_says_when_to_come_again_and_is_not_counted(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=5))
    assert await admitted_calls(rate_limit, 50) == 5
    refusal = await rejection_of(rate_limit)
    assert refusal is not None
    assert refusal.retry_after is not None
    assert 60 <= refusal.retry_after <= 2 * 66


async def test_what_is_too_little_for_many_is_there_for_one(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=10))
    await rate_limit.acquire(8)
    with pytest.raises(GatewayError):
        await rate_limit.acquire(8)
    assert await admitted_calls(rate_limit, 5) == 2


async def test_the_last_units_of_a_large_quota_are_used(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=995))
    assert await admitted_calls(rate_limit, 1200) == 995


async def test_another_quota_counts_what_was_used(processes: Processes) -> None:
    await admitted_calls(processes.rate_limit(CallLimits(calls_per_minute=5)), 5)
    assert await admitted_calls(processes.again(CallLimits(calls_per_minute=8)), 10) == 3


async def test_without_redis_each_process_has_its_share_until_redis_is_back(
    processes: Processes, redis: RedisServer
) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=20))
    await admitted_calls(rate_limit, 1)
    redis.end()
    try:
        began = time.monotonic()
        assert await admitted_calls(rate_limit, 30) == 10
        assert time.monotonic() - began < _PATIENCE
    finally:
        redis.start()
    deadline = time.monotonic() + _PATIENCE
    while await rejection_of(rate_limit) is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_redis_that_does_not_answer_costs_a_moment_and_no_call(
    processes: Processes, redis: RedisServer
) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=20))
    await admitted_calls(rate_limit, 1)
    redis.suspend()
    try:
        began = time.monotonic()
        assert await admitted_calls(rate_limit, 10) == 10
        assert time.monotonic() - began < _PATIENCE
    finally:
        redis.resume()
