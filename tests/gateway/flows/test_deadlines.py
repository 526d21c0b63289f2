"""Runs ended by their deadline, a cancellation, or a disconnected caller."""

from __future__ import annotations

import asyncio
import gc
from time import monotonic
from typing import Any

import pytest

from gateway.flows.node_types.handler import NodeError, RunContext
from gateway.flows.ports import ModelCall
from protos.errors import ErrorCode
from tests.gateway.flows.fake_ports import FakePorts, Model, failing, hang
from tests.gateway.flows.flow_builder import ONE_MODEL, run, statuses


async def test_the_deadline_cancels_running_nodes() -> None:
    world = FakePorts(hang)
    outcome = await run(ONE_MODEL, world=world, seconds=0.05)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("timeout", "model")
    assert statuses(outcome) == {"input": "completed", "model": "cancelled", "output": "skipped"}
    assert world.cancelled == 1


async def test_the_deadline_is_passed_to_the_ports() -> None:
    world = FakePorts()
    before = monotonic()
    await run(ONE_MODEL, world=world, seconds=20)
    assert before + 20 <= world.deadlines[0] <= monotonic() + 20


async def test_nothing_starts_after_the_deadline() -> None:
    world = FakePorts()
    outcome = await run(ONE_MODEL, world=world, seconds=-1)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"
    assert set(statuses(outcome).values()) == {"skipped"}
    assert world.inferences == []


async def test_a_call_that_fails_at_the_deadline_is_a_timeout() -> None:
    async def model(_call: ModelCall) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return await failing(ErrorCode.DEADLINE_EXCEEDED, "too late")(_call)

    outcome = await run(ONE_MODEL, world=FakePorts(model), seconds=0.06)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"


async def test_a_cancelled_run_stops_at_once() -> None:
    cancelled = asyncio.Event()

    async def model(call: ModelCall) -> dict[str, Any]:
        cancelled.set()
        return await hang(call)  # type: ignore[no-any-return]

    world = FakePorts(model)
    outcome = await run(ONE_MODEL, world=world, cancelled=cancelled)
    assert outcome.status == "cancelled"
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert statuses(outcome) == {"input": "completed", "model": "cancelled", "output": "skipped"}
    assert world.cancelled == 1


async def test_cancelling_the_caller_leaves_no_task_running() -> None:
    asked = asyncio.Event()

    async def model(call: ModelCall) -> dict[str, Any]:
        asked.set()
        return await hang(call)  # type: ignore[no-any-return]

    world = FakePorts(model)
    before = asyncio.all_tasks()
    task = asyncio.create_task(run(ONE_MODEL, world=world))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert (world.cancelled, world.busy) == (1, 0)


async def model_failure(_call: ModelCall) -> dict[str, Any]:
    raise NodeError("model_failure", "it fails")


@pytest.mark.parametrize("model", [hang, model_failure])
async def test_nothing_of_a_failed_run_waits_for_the_garbage_collector(model: Model) -> None:
    """It would take minutes to come, and nodes have values of megabytes."""
    gc.disable()
    gc.freeze()  # objects of other tests are not looked at: there are a million
    try:
        outcome = await run(ONE_MODEL, world=FakePorts(model), seconds=0.05)
        assert outcome.status == "failed"
        assert [one for one in gc.get_objects() if isinstance(one, RunContext)] == []
    finally:
        gc.unfreeze()
        gc.enable()
