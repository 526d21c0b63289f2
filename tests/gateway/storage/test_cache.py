"""The cache in front of the database."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError
from gateway.storage.cache import Cache
from protos.errors import ErrorCode


class _Source:
    """Something slow: it counts its loads, and can be held up."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.value = "old"
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def load(self, key: str) -> str:
        self.loads.append(key)
        value = self.value
        self.asked.set()
        await self.go_on.wait()
        if key == "missing":
            raise GatewayError(ErrorCode.NOT_FOUND, "there is none")
        return value


async def test_a_value_is_loaded_once_and_then_at_hand() -> None:
    source = _Source()
    cache = Cache(source.load)
    assert cache.get("a") is None
    assert await cache.find("a") == await cache.find("a") == cache.get("a") == "old"
    assert source.loads == ["a"]


async def test_one_value_can_be_dropped_alone() -> None:
    source = _Source()
    cache = Cache(source.load)
    for key in ("a", "b"):
        await cache.find(key)
    cache.discard("a")
    cache.discard("never there")
    assert (cache.get("a"), cache.get("b")) == (None, "old")


async def test_a_refusal_is_remembered_until_something_changes() -> None:
    source = _Source()
    cache = Cache(source.load)
    for _ in range(3):
        with pytest.raises(GatewayError, match="there is none"):
            await cache.find("missing")
    assert source.loads == ["missing"]
    cache.invalidate(lambda _: False)
    with pytest.raises(GatewayError):
        await cache.find("missing")
    assert source.loads == ["missing", "missing"]


async def test_a_value_read_before_a_change_is_not_cached_after_it() -> None:
    source = _Source()
    source.go_on.clear()
    cache = Cache(source.load)
    early = asyncio.create_task(cache.find("a"))
    await source.asked.wait()
    source.value = "new"
    cache.invalidate(lambda value: value == "something else")
    source.go_on.set()
    assert await early == "old"
    assert await cache.find("a") == "new"


async def test_concurrent_misses_share_one_load() -> None:
    source = _Source()
    cache = Cache(source.load)
    assert set(await asyncio.gather(*(cache.find("a") for _ in range(20)))) == {"old"}
    assert source.loads == ["a"]


async def test_a_load_started_before_a_change_does_not_answer_later_callers() -> None:
    source = _Source()
    source.go_on.clear()
    cache = Cache(source.load)
    early = asyncio.create_task(cache.find("a"))
    await source.asked.wait()
    source.value = "new"
    cache.invalidate()
    late = asyncio.create_task(cache.find("a"))
    source.go_on.set()
    assert [await early, await late, cache.get("a")] == ["old", "new", "new"]


async def test_a_cancelled_caller_does_not_affect_the_others() -> None:
    source = _Source()
    source.go_on.clear()
    cache = Cache(source.load)
    first, second = (asyncio.create_task(cache.find("a")) for _ in range(2))
    await source.asked.wait()
    first.cancel()
    source.go_on.set()
    assert await second == "old"


async def test_invalidating_one_value_keeps_the_others() -> None:
    source = _Source()
    cache = Cache(source.load)
    await cache.find("a")
    source.value = "new"
    await cache.find("b")
    cache.invalidate(lambda value: value == "old")
    assert (cache.get("a"), cache.get("b")) == (None, "new")
    cache.invalidate()
    assert cache.get("b") is None


async def test_the_least_recently_used_are_evicted_first() -> None:
    cache = Cache(_Source().load, size=2)
    for key in ("a", "b", "a", "c"):
        await cache.find(key)
    assert [cache.get(key) for key in ("a", "b", "c")] == ["old", None, "old"]
