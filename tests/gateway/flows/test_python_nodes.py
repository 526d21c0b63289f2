"""python nodes: functions of installed packages, in processes of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest

from gateway.children.metrics import ChildMetrics
from gateway.flows.engine import execute
from gateway.flows.processes import FlowProcesses, build_flow_processes
from gateway.flows.result import FlowResult
from gateway.settings import Settings
from telemetry.instruments import Registry
from tests import child_processes
from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import (
    INPUT,
    Json,
    build_flow,
    compiled,
    node,
    run,
    validation_errors,
)
from tests.gateway.flows.installed_package import install_nodes
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = pytest.mark.processes
MODULE = "gateway.flows.function_process"
MEMORY = 512 << 20


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with nodes."""
    install_nodes(tmp_path, monkeypatch)


@pytest.fixture
async def processes() -> AsyncIterator[FlowProcesses]:
    settings = Settings(function_memory_bytes=MEMORY, function_processes=4)
    built = build_flow_processes(settings, ChildMetrics(Registry()))
    yield built
    await built.close()
    assert children() == []


@pytest.fixture
def world(processes: FlowProcesses) -> FakePorts:
    return FakePorts(functions=processes.function_caller("a tenant"))


def children() -> list[psutil.Process]:
    """Return the processes that call functions."""
    return child_processes.children_of_fork_servers(MODULE)


def flow(function: str, **inputs: str) -> Json:
    """Return a flow with one call."""
    return build_flow(
        "input>f", INPUT, node("f", "python", function=function, inputs=inputs or None)
    )


async def output(world: FakePorts, function: str, input_data: Json, **inputs: str) -> Any:
    """Return the output of a function."""
    outcome = await run(flow(function, **inputs), input_data, world=world)
    assert outcome.error is None, outcome.error
    return outcome.node_outputs["f"]["output"]


async def error(world: FakePorts, function: str, **inputs: str) -> str:
    """Return why a function fails."""
    outcome = await run(flow(function, **inputs), world=world)
    failed = outcome.node_outputs["f"]["error"]
    assert failed["code"] == "python_failed"
    return str(failed["message"])


async def test_a_function_runs_in_a_process_that_keeps_its_state(world: FakePorts) -> None:
    found = await output(world, "shout", {"x": "hi"}, text="input.x")
    assert (found["text"], found["calls"]) == ("HI", 1)
    assert found["process"] != os.getpid()
    again = await output(world, "shout", {"x": "hi"}, text="input.x")
    assert again == {**found, "calls": 2}


async def test_async_functions_are_awaited_on_one_event_loop(world: FakePorts) -> None:
    for _ in range(2):
        assert await output(world, "whisper", {"x": "HI"}, text="input.x") == "hi"


async def test_the_function_may_be_a_callable_object(world: FakePorts) -> None:
    assert await output(world, "greet", {"x": 1}) == ["input"]


async def test_without_inputs_it_receives_preceding_outputs_by_id(world: FakePorts) -> None:
    flow_of_two = build_flow(
        "input>a a>f input>f",
        INPUT,
        node("a", "transform", fields={"y": "1"}),
        node("f", "python", function="greet"),
    )
    outcome = await run(flow_of_two, {"x": 1}, world=world)
    assert sorted(outcome.node_outputs["f"]["output"]) == ["a", "input"]


async def test_an_exception_fails_the_node(world: FakePorts) -> None:
    assert await error(world, "fail", text="'luck'") == "fail: ValueError: bad luck"
    assert await error(world, "leave", status="2") == "leave: SystemExit: 2"


async def test_an_exception_may_be_retryable(world: FakePorts, tmp_path: Path) -> None:
    patient = flow("busy", file="input.file")
    patient["nodes"][1]["retry"] = {"attempts": 3, "delay_seconds": 0.001}
    file = tmp_path / "calls"
    outcome = await run(patient, {"file": str(file)}, world=world)
    assert outcome.node_outputs["f"]["attempts"] == 3
    assert file.read_text().split() == ["called"] * 3


async def test_a_result_that_is_no_json_fails_the_node(world: FakePorts) -> None:
    outcome = await run(flow("no_json"), world=world)
    failed = outcome.node_outputs["f"]["error"]
    assert failed["code"] == "invalid_output"
    assert "not JSON-serializable" in failed["message"]


async def test_numbers_that_json_does_not_have_are_strings(world: FakePorts) -> None:
    outcome = await run(flow("no_number"), world=world)
    assert outcome.node_outputs["f"]["output"] == ["NaN", 1.0]


async def test_large_values_pass_and_too_large_ones_are_refused(world: FakePorts) -> None:
    plan = compiled(flow("repeat", text="input.text", times="input.times"))
    text = "x" * 5_000_000
    outcome = await run(plan, {"text": text, "times": 3}, world=world, max_output_bytes=1 << 25)
    assert outcome.node_outputs["f"]["output"] == text * 3
    outcome = await run(plan, {"text": text, "times": 4}, world=world)
    assert outcome.error is not None
    assert "its result takes more than 16 MiB" in outcome.error.message
    outcome = await run(plan, {"text": text * 4, "times": 1}, world=world)
    assert outcome.error is not None
    assert "repeat: its inputs take 20000" in outcome.error.message


async def test_a_process_that_ends_fails_the_node_and_is_replaced(world: FakePorts) -> None:
    assert await error(world, "die") == "die: its process ended during the call"
    assert (await output(world, "shout", {"x": "hi"}, text="input.x"))["calls"] == 1


async def test_memory_is_limited(world: FakePorts) -> None:
    message = await error(world, "hoard", mebibytes="600")
    assert message.startswith("hoard: it needs more than 512 MiB of memory")
    assert await output(world, "hoard", {"n": 200}, mebibytes="input.n") == 200


async def test_the_environment_is_the_operators(
    world: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "of the operator")
    assert await output(world, "environment", {"n": "SERVICE_TOKEN"}, name="input.n") == (
        "of the operator"
    )


async def until_timeout(world: FakePorts, function: str, seconds: float) -> tuple[FlowResult, int]:
    """Run a function that never returns; return the result and the turns of our loop meanwhile."""
    running = asyncio.create_task(
        execute(
            compiled(flow(function)),
            {},
            world.ports,
            deadline=monotonic() + seconds,
            cancelled=asyncio.Event(),
        )
    )
    turns = 0
    while not running.done():
        await asyncio.sleep(0.001)
        turns += 1
    return running.result(), turns


@pytest.mark.parametrize("function", ["hang", pytest.param("hang_async", marks=pytest.mark.long)])
async def test_a_function_that_never_returns_ends_at_the_deadline(
    world: FakePorts, function: str
) -> None:
    await output(world, "shout", {"x": "hi"}, text="input.x")
    (child,) = children()
    timer = Timer()
    outcome, turns = await until_timeout(world, function, seconds=1.0)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("timeout", "f")
    assert turns > 10, "the function holds the event loop"
    assert await asyncio.to_thread(child.wait, TIMEOUT_SECONDS) in (-9, None)
    assert timer.seconds < 1.0 + 1.0 + 1.0
    assert (await output(world, "shout", {"x": "hi"}, text="input.x"))["calls"] == 1


@pytest.mark.long
async def test_an_import_does_not_count_as_time_of_a_call(
    world: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compiled(flow("shout", text="input.x"))
    monkeypatch.setenv("SLOW_IMPORT", "3")
    while not (found := children()):  # a deadline may pass before there is a process
        early = await run(plan, {"x": "hi"}, world=world, seconds=0.5)
        assert early.error is not None
        assert early.error.code == "timeout"
    (child,) = found
    outcome = await run(plan, {"x": "hi"}, world=world)
    shown = outcome.node_outputs["f"]["output"]
    assert (shown["process"], shown["calls"]) == (child.pid, 1)


@pytest.mark.parametrize("with_fork_server", [pytest.param(False, marks=pytest.mark.long), True])
async def test_what_a_function_has_started_ends_with_it(
    world: FakePorts, tmp_path: Path, with_fork_server: bool
) -> None:
    file = tmp_path / "pid"
    plan = compiled(flow("spawn", file="input.file"))
    work = asyncio.create_task(run(plan, {"file": str(file)}, world=world, seconds=5))
    while not (file.exists() and file.read_text()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    started = psutil.Process(int(file.read_text()))
    if with_fork_server:
        (server,) = child_processes.children(MODULE)
        server.kill()
    outcome = await work
    assert outcome.error is not None
    assert await asyncio.to_thread(started.wait, TIMEOUT_SECONDS) is None


async def test_processes_draw_random_values_of_their_own(processes: FlowProcesses) -> None:
    caller = processes.function_caller("a tenant")
    calls = (caller.call("draw", {}, monotonic() + TIMEOUT_SECONDS) for _ in range(2))
    one, other = await asyncio.gather(*calls)
    assert all(a != b for a, b in zip(one, other, strict=True))


async def test_one_tenant_cannot_take_all_processes(
    processes: FlowProcesses, world: FakePorts
) -> None:
    hogs = [asyncio.create_task(until_timeout(world, "hang", seconds=10)) for _ in range(6)]
    await asyncio.sleep(0.1)
    other = FakePorts(functions=processes.function_caller("another tenant"))
    plan = compiled(flow("shout", text="input.x"))
    result = await execute(
        plan,
        {"x": "hi"},
        other.ports,
        deadline=monotonic() + TIMEOUT_SECONDS,
        cancelled=asyncio.Event(),
    )
    assert result.status == "completed"
    assert not any(hog.done() for hog in hogs)
    for hog in hogs:
        hog.cancel()
    await asyncio.gather(*hogs, return_exceptions=True)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("os.system", "unknown Python node 'os.system': expected one of broken, busy, die,"),
        ("broken", "'broken': it cannot be imported: ModuleNotFoundError"),
        ("number", "'number': expected a function, got int"),
    ],
)
def test_only_installed_functions_can_be_called(function: str, words: str) -> None:
    assert words in validation_errors(flow(function))["#/nodes/1/config/function"]


async def test_a_function_is_imported_elsewhere(processes: FlowProcesses) -> None:
    evaluator = processes.evaluator("a tenant")
    assert await evaluator.check_function("shout") is None
    problem = await evaluator.check_function("broken")
    assert problem is not None
    assert "ModuleNotFoundError" in problem
