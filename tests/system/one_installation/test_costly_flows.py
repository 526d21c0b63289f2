"""Expressions, schemas and patterns that would take minutes or gigabytes: only their call fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.system.flow_documents import linear_flow, node, transform_flow
from tests.system.installation import Installation
from tests.timing import Timer, eventually

NEVER = {"x": 3, "d": -100_000_000}
"""With `round(input.x, input.d)`: minutes, in one instruction."""
PATIENT = {"execution_mode": "sync", "deployment_type": "server"}
QUICK = {**PATIENT, "timeout_seconds": 2}


@contextmanager
def probed(installation: Installation) -> Iterator[list[float]]:
    """Send probes, each on a connection of its own; yield how many seconds each took."""
    seconds: list[float] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.is_set():
            timer = Timer()
            httpx.get(f"{installation.up.url}/livez")
            seconds.append(timer.seconds)
            ended.wait(0.02)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield seconds
    finally:
        ended.set()
        thread.join()


def schema_flow(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a flow whose input has a schema."""
    return linear_flow(
        "Checked", node("input", "api_input", schema=schema), node("output", "api_output")
    )


@pytest.mark.long
def test_an_endless_expression_ends_at_its_deadline(installation: Installation) -> None:
    flow = transform_flow("round(input.x, input.d)")
    deployment = installation.deploy(flow, **QUICK)
    patient = installation.deploy(flow, **PATIENT)
    good = installation.trigger(patient, json={"input_data": {"x": 1.26, "d": 1}})
    assert good.json()["output_data"] == {"y": 1.3}
    gateways = {child.pid for child in installation.up.gateways()}
    with probed(installation) as seconds:
        for _ in range(2):  # it does not matter which gateway answers
            timer = Timer()
            answer = installation.trigger(deployment, json={"input_data": NEVER})
            assert timer.seconds < 5
            assert (answer.status_code, answer.json()["code"]) == (504, "run_timeout")
    assert len(seconds) > 5
    assert max(seconds) < 2
    assert {child.pid for child in installation.up.gateways()} == gateways
    again = installation.trigger(patient, json={"input_data": {"x": 1.26, "d": 1}})
    assert again.json()["output_data"] == {"y": 1.3}


def test_an_expression_that_takes_gigabytes_fails(installation: Installation) -> None:
    flow = transform_flow("size(join(input.few, input.text))")
    deployment = installation.deploy(flow, **QUICK | {"timeout_seconds": 30})
    sent = {"few": ["x"] * 1_000, "text": "x" * 2_000_000}
    with probed(installation) as seconds:
        answer = installation.trigger(deployment, json={"input_data": sent})
    assert (answer.status_code, answer.json()["code"]) == (422, "evaluation_limit")
    assert "512 MiB" in answer.json()["detail"]
    assert max(seconds) < 2
    for gateway in installation.up.gateways():
        assert psutil.Process(gateway.pid).memory_info().rss < 500 << 20


@pytest.mark.parametrize(
    "schema",
    [{"pattern": "(" * 200_000}, {"items": {"pattern": "a" * 3_000_000}}],
    ids=["nested", "long"],
)
def test_a_large_pattern_is_not_saved(installation: Installation, schema: dict[str, Any]) -> None:
    with probed(installation) as seconds:
        answer = installation.http.post("/node/flows/", json=schema_flow(schema))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_flow")
    (error,) = answer.json()["errors"]
    assert error["pointer"].endswith("/pattern")
    assert max(seconds) < 2


def test_a_schema_with_endless_checks_ends_at_the_deadline(installation: Installation) -> None:
    defs: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d40": {"type": "object"}}}
    deployment = installation.deploy(schema_flow(schema), **QUICK)
    with probed(installation) as seconds:
        timer = Timer()
        answer = installation.trigger(deployment, json={"input_data": {"x": 1}})
        assert timer.seconds < 5
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert max(seconds) < 2


@pytest.mark.long
def test_a_python_node_that_never_returns_ends_at_its_deadline(
    installation: Installation, tmp_path: Path
) -> None:
    endless = installation.deploy(python_flow("hang", file="input.file"), **QUICK)
    good = installation.deploy(python_flow("shout", text="input.x"), **PATIENT)
    file = tmp_path / "process"
    with probed(installation) as seconds:
        for _ in range(2):
            timer = Timer()
            answer = installation.trigger(endless, json={"input_data": {"file": str(file)}})
            assert timer.seconds < 5
            assert (answer.status_code, answer.json()["code"]) == (504, "run_timeout")
            process = int(file.read_text())
            assert process not in {gateway.pid for gateway in installation.up.gateways()}
            eventually(lambda pid=process: psutil.pid_exists(pid), lambda found: not found)
            answer = installation.trigger(good, json={"input_data": {"x": "hi"}})
            assert answer.json()["output_data"]["text"] == "HI"
    assert max(seconds) < 2


def python_flow(function: str, **inputs: str) -> dict[str, Any]:
    """Return a flow with one call of a function."""
    return linear_flow(
        function,
        node("input", "api_input"),
        node("f", "python", function=function, inputs=inputs),
        node("output", "api_output"),
    )
