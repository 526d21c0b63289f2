"""Evaluators, as processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import psutil
import pytest

from gateway.children.errors import ChildError, ChildFailure
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.children.program import ChildProgram
from telemetry.allocator import ALLOCATION
from telemetry.instruments import Registry
from tests.child_processes import children_of_fork_servers
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = pytest.mark.processes

MODULE = "gateway.flows.evaluator_process"
MEMORY = 512 << 20
CPU_SECONDS = 0.5
NEVER = {"expression": "round(input.v, input.d)", "v": 3, "d": -100_000_000}
"""Takes minutes, in one instruction."""


def request(expression: str) -> bytes:
    """Return a request for the value of an expression."""
    node = {"id": "n", "type": "transform", "config": {"expression": expression}, "before": []}
    return orjson.dumps({"kind": "evaluate", "program": orjson.dumps(node).decode()})


def pool_of(
    registry: Registry | None = None,
    *,
    memory_bytes: int = MEMORY,
    cpu_seconds: float = TIMEOUT_SECONDS,
    module: str = MODULE,
    **more: Any,
) -> ChildPool:
    """Return a pool of four evaluators."""
    program = ChildProgram(
        name="evaluator",
        module=module,
        size=4,
        memory_bytes=memory_bytes,
        cpu_seconds=cpu_seconds,
        max_reply_bytes=8 << 20,
        **more,
    )
    return ChildPool(program, ChildMetrics(registry or Registry()))


async def ask(
    pool: ChildPool,
    expression: str,
    *,
    tenant: str = "a",
    seconds: float = TIMEOUT_SECONDS,
    **values: Any,
) -> Any:
    """Return the value of an expression."""
    body = orjson.dumps({"input": values})
    reply = await pool.ask(tenant, request(expression), body, deadline=monotonic() + seconds)
    return orjson.loads(reply)["value"]


async def failure(pool: ChildPool, expression: str, **values: Any) -> ChildFailure:
    """Return why an expression has no value."""
    with pytest.raises(ChildError) as caught:
        await ask(pool, expression, **values)
    return caught.value.failure


def evaluators(parent: int | None = None) -> list[psutil.Process]:
    """Return the evaluators of a process."""
    return children_of_fork_servers(MODULE, parent)


async def started_evaluator() -> psutil.Process:
    """Return the only evaluator, when it is there."""
    while not (started := evaluators()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    (only,) = started
    return only


async def busy_evaluator(*, other: psutil.Process | None = None) -> psutil.Process:
    """Return an evaluator that has computed for a while, not the `other`."""
    latest = monotonic() + TIMEOUT_SECONDS
    while monotonic() < latest:
        with suppress(psutil.NoSuchProcess):
            for one in evaluators():
                if one != other and one.cpu_times().user > 0.3:
                    return one
        await asyncio.sleep(0.01)
    raise AssertionError("no evaluator is busy")


@pytest.fixture
async def pool() -> AsyncIterator[ChildPool]:
    pool = pool_of(cpu_seconds=CPU_SECONDS)
    yield pool
    await pool.close()
    assert evaluators() == []


@pytest.fixture
async def patient() -> AsyncIterator[ChildPool]:
    """Return a pool that grants much CPU time."""
    pool = pool_of()
    yield pool
    await pool.close()
    assert evaluators() == []


@pytest.fixture
async def small() -> AsyncIterator[ChildPool]:
    """Return a pool that grants little memory."""
    pool = pool_of(memory_bytes=128 << 20)
    yield pool
    await pool.close()
    assert evaluators() == []


def session_niceness(pid: int) -> int | None:
    """Return the niceness of a process's session; None where Linux does not compare sessions."""
    autogroup = Path(f"/proc/{pid}/autogroup")
    return int(autogroup.read_text().split()[-1]) if autogroup.exists() else None


async def test_evaluators_are_started_when_needed_and_kept(pool: ChildPool) -> None:
    assert evaluators() == []
    assert await ask(pool, "input.x + 1", x=1) == 2
    (first,) = evaluators()
    assert await ask(pool, "input.x + 1", x=2) == 3
    assert evaluators() == [first]
    assert set(first.environ()) == {"PYTHONPATH", *ALLOCATION}
    assert first.nice() >= 5
    assert session_niceness(first.pid) in (None, 5)
    both = await asyncio.gather(*(ask(pool, "input.x", x=x, tenant=f"{x}") for x in range(2)))
    assert both == [0, 1]
    assert len(evaluators()) == 2


async def test_a_pool_can_be_warmed(pool: ChildPool) -> None:
    pool.warm()
    pool.warm()
    warmed = await started_evaluator()
    assert await ask(pool, "1 + 1") == 2
    assert evaluators() == [warmed]


async def test_a_process_that_does_not_start_is_ended() -> None:
    pool = pool_of(start_seconds=0.001)
    assert await failure(pool, "1 + 1") is ChildFailure.CRASH
    await pool.close()


async def test_a_process_that_starts_is_kept_when_its_request_is_cancelled(
    pool: ChildPool,
) -> None:
    assert await failure(pool, "1 + 1", seconds=0.02) is ChildFailure.DEADLINE
    starting = await started_evaluator()
    assert await ask(pool, "1 + 1") == 2
    assert evaluators() == [starting]


async def test_the_deadline_ends_any_evaluation(patient: ChildPool) -> None:
    timer = Timer()
    assert await failure(patient, **NEVER, seconds=0.5) is ChildFailure.DEADLINE
    assert timer.seconds < 3
    assert await ask(patient, "input.x * 2", x=21) == 42


async def test_a_request_reaches_no_process_before_it_may(pool: ChildPool) -> None:
    may = asyncio.Event()
    deadline = monotonic() + TIMEOUT_SECONDS
    asking = asyncio.create_task(
        pool.ask("a", request("1 + 1"), b"{}", deadline=deadline, before=may.wait)
    )
    await asyncio.sleep(0.05)
    assert not evaluators()
    may.set()
    assert orjson.loads(await asking)["value"] == 2


async def test_the_cpu_limit_ends_any_evaluation(pool: ChildPool) -> None:
    assert await failure(pool, **NEVER) is ChildFailure.CPU
    assert await ask(pool, "input.x * 2", x=21) == 42


@pytest.mark.parametrize(
    "expression",
    [
        " + ".join(["input.s"] * 190),  # within CEL, which aborts
        "input.few.map(x, split(input.s, 'x'))",  # or within Python
        "size(join(input.texts, input.s))",  # in a function
    ],
    ids=["compiled", "split", "join"],
)
async def test_the_memory_limit_ends_any_evaluation(small: ChildPool, expression: str) -> None:
    values = {"s": "x" * 2_000_000, "few": list(range(50)), "texts": ["x"] * 1_000}
    assert await failure(small, expression, **values) is ChildFailure.MEMORY
    assert await ask(small, "input.x * 2", x=21) == 42


async def test_a_large_result_is_refused(patient: ChildPool) -> None:
    text = "x" * 5_000_000
    assert await failure(patient, "input.s + input.s", s=text) is ChildFailure.SIZE
    assert await ask(patient, "size(input.s)", s=text) == len(text)


async def test_a_request_survives_one_death(patient: ChildPool) -> None:
    loop = "input.xs.all(x, input.xs.all(y, x + y >= 0))"
    work = asyncio.create_task(ask(patient, loop, xs=list(range(1_800))))
    (await busy_evaluator()).kill()
    assert await work is True


async def test_a_request_that_ends_two_evaluators_fails(patient: ChildPool) -> None:
    work = asyncio.create_task(failure(patient, **NEVER))
    first = await busy_evaluator()
    first.kill()
    (await busy_evaluator(other=first)).kill()
    assert await work is ChildFailure.CRASH


@pytest.mark.long
async def test_a_request_survives_an_evaluator_that_is_stopped_meanwhile(
    patient: ChildPool,
) -> None:
    loop = "input.xs.all(x, input.xs.all(y, x + y >= 0))"
    work = asyncio.create_task(ask(patient, loop, xs=list(range(1_800))))
    stopped = await busy_evaluator()
    stopped.suspend()
    assert await work is True
    assert not stopped.is_running()


async def test_what_computes_for_long_loses_priority_and_its_evaluator_is_replaced() -> None:
    registry = Registry()
    pool = pool_of(registry, lowers_priority=True)
    try:
        assert await ask(pool, "1 + 1") == 2
        (quick,) = evaluators()
        first = quick.nice()
        endless = asyncio.create_task(ask(pool, **NEVER))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while quick.nice() < min(first + 10, 19):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await ask(pool, "2 + 2", tenant="b") == 4
        (other,) = [one for one in evaluators() if one != quick]
        assert other.nice() == first
        endless.cancel()
        loop = "input.xs.all(x, input.xs.all(y, x + y >= 0))"
        for size in (400, 800, 1_600):  # so much that it takes some looks
            assert await ask(pool, loop, tenant="b", xs=list(range(size))) is True
            if other not in evaluators():
                break
        assert values(registry)["child_restarts_total", "evaluator", "slowed"] >= 1
    finally:
        await pool.close()


async def test_only_a_program_that_allows_it_loses_priority(patient: ChildPool) -> None:
    work = asyncio.create_task(ask(patient, **NEVER))
    busy = await busy_evaluator()
    first = busy.nice()
    await asyncio.sleep(0.5)
    assert busy.nice() == first
    work.cancel()


@pytest.mark.long
async def test_an_idle_evaluator_that_is_stopped_delays_its_next_request_only(
    patient: ChildPool,
) -> None:
    assert await ask(patient, "1 + 1") == 2
    (stopped,) = evaluators()
    stopped.suspend()
    assert await ask(patient, "2 + 2") == 4
    assert not stopped.is_running()


async def test_an_idle_evaluator_that_was_killed_is_replaced(pool: ChildPool) -> None:
    assert await ask(pool, "1 + 1") == 2
    (idle,) = evaluators()
    idle.kill()
    assert await ask(pool, "1 + 1") == 2


async def test_idle_evaluators_end_but_for_those_that_are_kept() -> None:
    pool = pool_of(idle_seconds=3.0, kept_idle=1)  # longer than the three take to start
    try:
        await asyncio.gather(*(ask(pool, "1 + 1", tenant=tenant) for tenant in "abc"))
        assert len(evaluators()) == 3
        while len(evaluators()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        kept = evaluators()
        await asyncio.sleep(0.5)
        assert await ask(pool, "1 + 1") == 2
        assert evaluators() == kept
    finally:
        await pool.close()


async def test_a_cancelled_request_ends_its_evaluator(patient: ChildPool) -> None:
    work = asyncio.create_task(ask(patient, **NEVER))
    busy = await busy_evaluator()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    while busy in evaluators():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_one_tenant_cannot_take_all_places(patient: ChildPool) -> None:
    hogs = [asyncio.create_task(ask(patient, **NEVER)) for _ in range(20)]
    await busy_evaluator()
    assert await ask(patient, "1 + 1", tenant="b") == 2
    assert not any(hog.done() for hog in hogs)
    for hog in hogs:
        hog.cancel()
    await asyncio.gather(*hogs, return_exceptions=True)


async def test_closing_ends_busy_evaluators() -> None:
    pool = pool_of()
    work = asyncio.create_task(failure(pool, **NEVER))
    await busy_evaluator()
    await pool.close()
    assert evaluators() == []
    assert await work is ChildFailure.CLOSED


@pytest.mark.long
async def test_what_happens_is_measured() -> None:
    registry = Registry()
    pool = pool_of(registry, cpu_seconds=1.0)
    try:
        assert await ask(pool, "1 + 1") == 2
        assert await failure(pool, **NEVER) is ChildFailure.CPU
        assert await ask(pool, "1 + 1") == 2  # by a process that has started
        (killed,) = evaluators()
        assert await failure(pool, **NEVER, seconds=0.5) is ChildFailure.DEADLINE
        while killed in evaluators():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        hogs = [asyncio.create_task(failure(pool, **NEVER)) for _ in range(3)]
        await busy_evaluator()
        busy = values(registry)
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
        found = values(registry)
    finally:
        await pool.close()
    assert busy["child_processes_busy", "evaluator"] == 2
    assert busy["child_requests_waiting", "evaluator"] == 1
    assert found["child_processes_busy", "evaluator"] == 0
    assert found["child_requests_waiting", "evaluator"] == 0
    assert found["child_request_failures_total", "evaluator", "cpu"] == 1
    assert found["child_request_failures_total", "evaluator", "deadline"] == 1
    assert found["child_restarts_total", "evaluator", "cpu"] == 1
    assert found["child_restarts_total", "evaluator", "deadline"] == 1
    assert found["child_restarts_total", "evaluator", "cancelled"] >= 1
    assert found["child_request_seconds_count", "evaluator"] == 6
    assert found["child_wait_seconds_count", "evaluator"] == 6


def values(registry: Registry) -> dict[tuple[str, ...], float]:
    """Return what a registry exposes, by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


PARENT = """
import asyncio
from tests.gateway.children.test_pool import NEVER, ask, pool_of

async def main():
    pool = pool_of(cpu_seconds=60)
    await ask(pool, "1 + 1")
    await asyncio.gather(*(ask(pool, **NEVER, tenant=tenant) for tenant in "ab"))

asyncio.run(main())
"""
