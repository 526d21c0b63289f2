"""python nodes: functions of installed packages."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.flows.flow_builder import INPUT, Json, build_flow, node, run, validation_errors
from tests.gateway.flows.installed_package import install_nodes


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package with nodes; return its module."""
    install_nodes(tmp_path, monkeypatch)
    monkeypatch.delitem(sys.modules, "flow_nodes", raising=False)
    return importlib.import_module("flow_nodes")


def flow(function: str, **inputs: str) -> Json:
    """Return a flow with one call."""
    return build_flow(
        "input>f", INPUT, node("f", "python", function=function, inputs=inputs or None)
    )


async def output(function: str, input_data: Json, **inputs: str) -> Any:
    """Return the output of a function."""
    outcome = await run(flow(function, **inputs), input_data)
    assert outcome.error is None, outcome.error
    return outcome.node_outputs["f"]["output"]


async def test_a_function_runs_in_a_thread() -> None:
    found = await output("shout", {"x": "hi"}, text="input.x + '!'")
    assert found["text"] == "HI!"
    assert found["thread"] != threading.main_thread().name


async def test_an_async_function_is_awaited() -> None:
    assert await output("whisper", {"x": "HI"}, text="input.x") == "hi"


async def test_the_function_may_be_a_callable_object() -> None:
    assert await output("greet", {"x": 1}) == ["input"]


async def test_without_inputs_it_receives_preceding_outputs_by_id() -> None:
    flow_of_two = build_flow(
        "input>a a>f input>f",
        INPUT,
        node("a", "transform", fields={"y": "1"}),
        node("f", "python", function="greet"),
    )
    outcome = await run(flow_of_two, {"x": 1})
    assert sorted(outcome.node_outputs["f"]["output"]) == ["a", "input"]


async def test_an_exception_fails_the_node() -> None:
    outcome = await run(flow("fail", text="'luck'"))
    assert outcome.node_outputs["f"]["error"] == {
        "code": "python_failed",
        "message": "fail: ValueError: bad luck",
    }


async def test_an_exception_may_be_retryable() -> None:
    patient = flow("busy", calls="input.calls")
    patient["nodes"][1]["retry"] = {"attempts": 3, "delay_seconds": 0.001}
    calls: list[int] = []
    outcome = await run(patient, {"calls": calls})
    assert outcome.node_outputs["f"]["attempts"] == len(calls) == 3


async def test_a_hanging_function_does_not_delay_the_run(package: Any) -> None:
    outcome = await run(flow("hang"), seconds=0.1)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("timeout", "f")
    package.release.set()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("os.system", "unknown Python node 'os.system': expected one of broken, busy, fail,"),
        ("broken", "cannot be imported: ModuleNotFoundError"),
        ("number", "'number': expected a function, got int"),
    ],
)
def test_only_installed_functions_can_be_called(function: str, words: str) -> None:
    assert words in validation_errors(flow(function))["#/nodes/1/config/function"]
