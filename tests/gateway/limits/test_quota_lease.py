"""Several processes that share quotas through Redis."""

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
from tests.gateway.limits.limiters import DEPLOYMENT, admitted_calls, build_limits, rejection_of
from tests.services.redis import RedisServer
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = [pytest.mark.services, pytest.mark.databases("sqlite", "postgresql")]


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
    started = time.monotonic()
    passed = sum(
        await asyncio.gather(*(admitted_calls(rate_limit, 1500) for rate_limit in rate_limiter))
    )
    refilled = 2000 / 60 * (time.monotonic() - started) + 1
    assert 2000 - 3 * 2 * 20 <= passed <= 2000 + refilled


async def test_most_calls_of_a_large_quota_do_not_wait_for_redis(processes: Processes) -> None:
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


async def test_the_remainder_is_that_of_all_processes(processes: Processes) -> None:
    quota = CallLimits(calls_per_minute=10)
    await admitted_calls(processes.rate_limit(quota), 6)
    other = processes.rate_limit(quota)
    await admitted_calls(other, 1)
    assert dict(other.headers())[b"ratelimit"].startswith(b'"key-minute";r=3;t=')


async def test_a_rejection_says_when_to_retry_and_is_not_counted(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=5))
    assert await admitted_calls(rate_limit, 50) == 5
    rejection = await rejection_of(rate_limit)
    assert rejection is not None
    assert rejection.retry_after is not None
    assert 11 <= rejection.retry_after <= 14


async def test_units_too_few_for_a_batch_are_left_for_single_calls(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=10))
    await rate_limit.acquire(8)
    with pytest.raises(GatewayError):
        await rate_limit.acquire(8)
    assert await admitted_calls(rate_limit, 5) == 2


async def test_the_last_units_of_a_large_quota_are_used(processes: Processes) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=995))
    started = time.monotonic()
    passed = await admitted_calls(rate_limit, 1200)
    assert 995 <= passed <= 995 + 995 / 60 * (time.monotonic() - started) + 1


async def test_a_changed_quota_keeps_what_was_used(processes: Processes) -> None:
    await admitted_calls(processes.rate_limit(CallLimits(calls_per_minute=5)), 5)
    assert await admitted_calls(processes.again(CallLimits(calls_per_minute=8)), 10) == 3


async def test_each_process_has_its_share_while_redis_is_down(
    processes: Processes, redis: RedisServer
) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=20))
    await admitted_calls(rate_limit, 1)
    redis.end()
    try:
        timer = Timer()
        assert await admitted_calls(rate_limit, 30) == 10
        assert timer.seconds < 10
    finally:
        redis.start()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while await rejection_of(rate_limit) is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_redis_that_hangs_delays_calls_shortly_and_fails_none(
    processes: Processes, redis: RedisServer
) -> None:
    rate_limit = processes.rate_limit(CallLimits(calls_per_minute=20))
    await admitted_calls(rate_limit, 1)
    redis.suspend()
    try:
        timer = Timer()
        assert await admitted_calls(rate_limit, 10) == 10
        assert timer.seconds < 10
    finally:
        redis.resume()
