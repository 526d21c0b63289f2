"""Fork servers of evaluators, as processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from gateway.body_parsing.parser import PROGRAM as BODY_PARSER
from gateway.children.errors import ChildError, ChildFailure
from gateway.children.memory_budget import MemoryBudget
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.flows.evaluation import build_evaluators
from gateway.flows.functions import build_functions
from gateway.settings import Settings
from telemetry.instruments import Registry
from tests.child_processes import children, children_of_fork_servers
from tests.gateway.children.test_pool import (
    MODULE,
    NEVER,
    PARENT,
    ask,
    busy_evaluator,
    evaluators,
    failure,
    pool_of,
)
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = pytest.mark.processes


@pytest.fixture
async def pool() -> AsyncIterator[ChildPool]:
    pool = pool_of()
    yield pool
    await pool.close()
    assert children(MODULE) == []


def fork_server(parent: int | None = None) -> psutil.Process:
    """Return the only fork server of evaluators."""
    (only,) = children(MODULE, parent)
    return only


def ended(processes: list[psutil.Process]) -> bool:
    """Whether all of them have ended, or do so within some seconds, if only as zombies."""
    latest = monotonic() + TIMEOUT_SECONDS
    while monotonic() < latest:
        if all(has_ended(process) for process in processes):
            return True
        sleep(0.01)
    return False


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no longer."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_one_process_forks_all_evaluators(pool: ChildPool) -> None:
    assert children(MODULE) == []
    assert await ask(pool, "1 + 1") == 2
    first = fork_server()
    pids = {evaluator.pid for evaluator in evaluators()}
    for _ in range(3):
        assert await failure_at_deadline(pool) is ChildFailure.DEADLINE
        assert await ask(pool, "1 + 1") == 2
        pids |= {evaluator.pid for evaluator in evaluators()}
    assert fork_server() == first
    assert len(pids) == 4
    assert first.name() == "fork_server"
    assert {evaluator.name() for evaluator in evaluators()} == {"evaluator"}


async def failure_at_deadline(pool: ChildPool) -> ChildFailure:
    """Return why something endless ends after half a second."""
    with pytest.raises(ChildError) as caught:
        await ask(pool, **NEVER, seconds=0.5)  # type: ignore[arg-type]
    return caught.value.failure


@pytest.mark.parametrize("program", ["evaluator", "function", "body_parser"])
async def test_nothing_is_forked_that_does_not_survive_it(program: str, tmp_path: Path) -> None:
    metrics, budget = ChildMetrics(Registry()), MemoryBudget(tmp_path, 1 << 30)
    pools = {
        "evaluator": lambda: build_evaluators(Settings(), metrics, budget),
        "function": lambda: build_functions(Settings(), metrics, budget),
        "body_parser": lambda: ChildPool(BODY_PARSER, metrics),
    }
    pool = pools[program]()
    pool.warm()
    module = pool.program.module
    try:
        while not children_of_fork_servers(module):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (server,) = children(module)
        assert server.num_threads() == 1
        # Its random numbers would be the same in all children, and OpenBLAS starts threads.
        assert not [file.path for file in server.memory_maps() if "numpy" in file.path]
    finally:
        await pool.close()


async def test_evaluators_have_no_descriptors_of_others(pool: ChildPool) -> None:
    await asyncio.gather(*(ask(pool, "1 + 1", tenant=tenant) for tenant in "abc"))
    first, *others = evaluators()
    assert len(others) == 2
    assert {first.num_fds(), *(other.num_fds() for other in others)} == {5}
    assert first.nice() == fork_server().nice() + 5
    assert all(os.getsid(evaluator.pid) == evaluator.pid for evaluator in evaluators())


async def test_a_fork_server_that_was_killed_is_replaced(pool: ChildPool) -> None:
    assert await ask(pool, "1 + 1") == 2
    idle = evaluators()
    killed = fork_server()
    killed.kill()
    assert await asyncio.to_thread(ended, [killed, *idle])
    assert await ask(pool, "1 + 1") == 2
    assert fork_server() != killed


async def test_a_request_survives_the_death_of_its_fork_server(pool: ChildPool) -> None:
    loop = "input.xs.all(x, input.xs.all(y, x + y >= 0))"
    work = asyncio.create_task(ask(pool, loop, xs=list(range(1_800))))
    busy = await busy_evaluator()
    fork_server().kill()
    assert await work is True
    assert ended([busy])


@pytest.mark.long
async def test_a_fork_server_that_hangs_is_replaced(pool: ChildPool) -> None:
    assert await ask(pool, "1 + 1") == 2
    stopped = fork_server()
    stopped.suspend()
    assert await ask(pool, "2 + 2") == 4  # the idle evaluator does not need it
    timer = Timer()
    assert await failure_at_deadline(pool) is ChildFailure.DEADLINE
    assert timer.seconds < 2
    assert await ask(pool, "3 + 3") == 6
    assert ended([stopped])
    assert fork_server() != stopped


@pytest.mark.parametrize("is_known", [False, True])
async def test_closing_does_not_wait_for_a_fork_server_that_starts(is_known: bool) -> None:
    pool = pool_of()
    pool.warm()
    while is_known and not children(MODULE):  # noqa: ASYNC110 - a process says nothing
        await asyncio.sleep(0.001)
    starting = children(MODULE)
    timer = Timer()
    await pool.close()
    assert timer.seconds < 2
    assert ended(starting or children(MODULE))


async def test_a_fork_server_that_cannot_be_started_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = pool_of()
    try:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/nowhere/python")
            for _ in range(2):
                assert await failure(pool, "1 + 1") is ChildFailure.UNAVAILABLE
        assert await ask(pool, "1 + 1") == 2
    finally:
        await pool.close()


async def test_a_process_that_cannot_be_forked_is_unavailable() -> None:
    pool = pool_of(module="tests.gateway.children.refusing_program")
    try:
        for _ in range(2):
            assert await failure(pool, "1 + 1") is ChildFailure.UNAVAILABLE
    finally:
        await pool.close()


@pytest.mark.long
@pytest.mark.parametrize("hangs", [False, True])
def test_evaluators_end_with_their_parent_even_if_their_fork_server_hangs(hangs: bool) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=Path(__file__).parents[3])
    try:
        latest = monotonic() + TIMEOUT_SECONDS
        while not (busy := [p for p in evaluators(parent.pid) if p.cpu_times().user > 0.3]):
            assert monotonic() < latest
        server = fork_server(parent.pid)
        if hangs:
            server.suspend()
        parent.kill()
        parent.wait()
        assert ended(busy)
        assert ended([server])
    finally:
        parent.kill()
        parent.wait()
