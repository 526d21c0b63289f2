"""Children of all processes of a host keep within one budget of memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from gateway.children.errors import ChildError, ChildFailure
from gateway.children.memory_budget import MemoryBudget
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.children.program import ChildProgram
from telemetry.instruments import Registry
from tests.child_processes import children_of_fork_servers
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes

MODULE = "tests.gateway.children.hungry_program"
PROGRAM = ChildProgram(
    name="hungry",
    module=MODULE,
    size=4,
    memory_bytes=1 << 30,
    cpu_seconds=None,
    max_reply_bytes=1 << 20,
    has_timers=False,
)


def oom_score_adj(pid: int) -> int:
    """Return how much sooner than others the kernel ends a process where memory is short."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


class Owner:
    """What a gateway or a worker has: a pool, and its view of the host's budget."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.budget = MemoryBudget(folder / "use", mebibytes << 20)
        self.pool = ChildPool(PROGRAM, ChildMetrics(Registry()), self.budget)
        self._enough = folder / "enough"

    async def take(self, mebibytes: int, tenant: str = "a") -> int | ChildFailure:
        """Have a child take memory; return how much it had, or why it ended."""
        request, until = str(mebibytes).encode(), str(self._enough).encode()
        deadline = monotonic() + TIMEOUT_SECONDS
        try:
            return int(await self.pool.ask(tenant, request, until, deadline=deadline)) >> 20
        except ChildError as error:
            return error.failure

    async def close(self) -> None:
        """End."""
        await self.pool.close()
        self.budget.close()


@pytest.fixture
async def owners(tmp_path: Path) -> AsyncIterator[list[Owner]]:
    """Return two owners on one host, whose children may use 300 MiB together."""
    made = [Owner(tmp_path, 300) for _ in range(2)]
    yield made
    for owner in made:
        await owner.close()
    assert not list((tmp_path / "use").glob("*"))  # a child that ends early makes no folder


async def test_the_largest_child_of_a_host_ends_where_all_together_use_too_much(
    owners: list[Owner], tmp_path: Path
) -> None:
    small = asyncio.create_task(owners[0].take(100))
    large = asyncio.create_task(owners[1].take(250))
    assert await large is ChildFailure.MEMORY
    assert not small.done()
    (tmp_path / "enough").touch()
    assert await small == 100
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await owners[1].take(250) != 250:  # noqa: ASYNC110 - alone it may, from soon on
            await asyncio.sleep(0.05)


async def test_children_of_one_owner_count_together(owners: list[Owner], tmp_path: Path) -> None:
    requests = [asyncio.create_task(owners[0].take(130, tenant)) for tenant in "abc"]
    ended, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    (tmp_path / "enough").touch()
    assert {await each for each in ended} == {ChildFailure.MEMORY}
    assert 130 in await asyncio.gather(*requests)


async def test_what_an_ended_process_has_used_does_not_count(
    owners: list[Owner], tmp_path: Path
) -> None:
    folder = tmp_path / "use"
    folder.mkdir()
    left = folder / "4711-ended"
    left.write_bytes((1 << 40).to_bytes(8, "little") * 2)
    work = asyncio.create_task(owners[0].take(200))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while left.exists():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    (tmp_path / "enough").touch()
    assert await work == 200


async def test_the_kernel_would_end_a_child_first(owners: list[Owner], tmp_path: Path) -> None:
    (tmp_path / "enough").touch()
    assert await owners[0].take(1) == 1
    (child,) = children_of_fork_servers(MODULE)
    assert oom_score_adj(child.pid) == 1000
