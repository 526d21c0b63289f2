"""Places of a pool, shared among tenants."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.children.turns import Turns


class Visitors:
    """Tasks that hold a place until they are told to go."""

    def __init__(self, places: int) -> None:
        self._turns = Turns(places)
        self.inside: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, *names: str) -> None:
        """Have one ask for a place for each name, whose first letter is its tenant."""
        for name in names:
            self._tasks[name] = asyncio.create_task(self._visit(name))
        await self._settle()

    async def leave(self, *names: str) -> None:
        """End these visits, or their waiting."""
        for name in names:
            self._tasks[name].cancel()
        await self._settle()

    async def _visit(self, name: str) -> None:
        with suppress(asyncio.CancelledError):
            await self._turns.acquire(name[0])
            self.inside.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.inside.remove(name)
                self._turns.release(name[0])

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_a_tenant_has_at_most_half() -> None:
    visitors = Visitors(4)
    await visitors.arrive("a1", "a2", "a3")
    assert visitors.inside == ["a1", "a2"]
    await visitors.arrive("b1", "c1")
    assert visitors.inside == ["a1", "a2", "b1", "c1"]
    await visitors.leave("b1")
    assert visitors.inside == ["a1", "a2", "c1"]
    await visitors.leave("a1", "a2", "a3", "c1")


async def test_a_single_place_is_for_all() -> None:
    visitors = Visitors(1)
    await visitors.arrive("a1", "b1")
    assert visitors.inside == ["a1"]
    await visitors.leave("a1")
    assert visitors.inside == ["b1"]
    await visitors.leave("b1")


async def test_the_tenant_with_the_fewest_is_next() -> None:
    visitors = Visitors(4)
    await visitors.arrive("a1", "a2", "b1", "b2", "a3", "b3", "c1", "d1")
    assert visitors.inside == ["a1", "a2", "b1", "b2"]
    await visitors.leave("a1")
    assert visitors.inside == ["a2", "b1", "b2", "c1"]
    await visitors.leave("c1")
    assert visitors.inside == ["a2", "b1", "b2", "d1"]
    await visitors.leave("d1")
    assert visitors.inside == ["a2", "b1", "b2", "a3"]
    await visitors.leave("a2", "a3", "b1", "b2", "b3")


async def test_leaving_the_queue_takes_no_place() -> None:
    visitors = Visitors(2)
    await visitors.arrive("a1", "b1", "c1", "d1")
    await visitors.leave("c1")
    await visitors.leave("a1")
    assert visitors.inside == ["b1", "d1"]
    await visitors.leave("b1", "d1")
    await visitors.arrive("e1", "f1")
    assert visitors.inside == ["e1", "f1"]
    await visitors.leave("e1", "f1")


async def test_a_place_given_to_one_that_leaves_is_passed_on() -> None:
    visitors = Visitors(1)
    await visitors.arrive("a1", "b1", "c1")
    await visitors.leave("a1", "b1")  # in one turn of the loop: b1 has the place already
    assert visitors.inside == ["c1"]
    await visitors.leave("c1")
