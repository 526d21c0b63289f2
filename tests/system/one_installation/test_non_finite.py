"""NaN and infinities in answers, and back again as input."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs, problem_of

GIVEN = {"x": [-1, 0, 4]}
STRINGS = {"log": ["NaN", "-Infinity", 1.3862944], "reciprocal": [-1, "Infinity", 0.25]}
NULLS = {"log": [None, None, 1.3862944], "reciprocal": [-1, None, 0.25]}

MANY = 100_000
"""Repetitions that make an output of more than 1 MiB."""

modes = pytest.mark.parametrize("mode", ["sync", "async", "fast"])


@pytest.fixture
def runs(installation: Installation) -> Runs:
    """A client of the installation, which has no worker."""
    return Runs(installation)


def output_of(runs: Runs, mode: str, flow: Json, given: Json, **settings: object) -> Any:
    """Return what a new deployment of a flow makes of an input."""
    deployment = runs.deploy(flow, mode, "server", **settings)
    if mode == "async":
        return runs.until(runs.accept(deployment, given))["output_data"]
    answer = runs.call(deployment, given)
    assert answer.status_code == 200, answer.text
    return answer.json()["output_data"]


@modes
@pytest.mark.parametrize(("settings", "expected"), [({}, STRINGS), ({"non_finite": "null"}, NULLS)])
def test_non_finite_outputs_are_strings_unless_the_deployment_says_null(
    runs: Runs, mode: str, settings: dict[str, str], expected: Json
) -> None:
    output = output_of(runs, mode, chain("nan"), GIVEN, **settings)
    assert output == expected


@modes
def test_an_output_is_accepted_as_input(runs: Runs, mode: str) -> None:
    output = output_of(runs, mode, chain("nan"), {"x": STRINGS["reciprocal"]})
    assert output["log"][0] == "NaN"
    assert output["log"][1] == "Infinity"
    assert output["reciprocal"] == [-1, 0, 4]


@modes
def test_a_deployment_may_refuse_non_finite_outputs(runs: Runs, mode: str) -> None:
    deployment = runs.deploy(chain("nan"), mode, "server", non_finite="error")
    if mode == "async":
        run = runs.until(runs.accept(deployment, GIVEN))
        assert (run["status"], run["output_data"]) == ("failed", None)
        error = run["error"]
    else:
        error = problem_of(runs.call(deployment, GIVEN), 500, "non_finite_output")
        assert error["retryable"] is False
    assert error["code"] == "non_finite_output"
    assert "output_data.log[0]: expected a finite number, got NaN" in error["message"]
    finite = output_of(runs, mode, chain("nan"), {"x": [1, 2]}, non_finite="error")
    assert finite["reciprocal"] == [1, 0.5]


@modes
@pytest.mark.parametrize("value", [None, "nan", "-inf", ""])
def test_other_spellings_are_refused_with_the_right_ones(
    runs: Runs, mode: str, value: object
) -> None:
    deployment = runs.deploy(chain("nan"), mode, "server")
    problem = problem_of(runs.call(deployment, {"x": [1, value]}), 422, "invalid_tensor")
    assert 'send NaN and infinities as "NaN", "Infinity" and "-Infinity"' in problem["message"]
    assert problem["errors"][0]["pointer"] == "#/input_data/x"


def test_a_changed_setting_applies_to_the_next_call(runs: Runs) -> None:
    deployment = runs.deploy(chain("nan"), "sync", "server", non_finite="null")
    assert runs.call(deployment, GIVEN).json()["output_data"]["log"][0] is None
    answer = runs.http.patch(f"/node/deployments/{deployment}/", json={"non_finite": "string"})
    assert answer.json()["non_finite"] == "string"
    assert runs.call(deployment, GIVEN).json()["output_data"]["log"][0] == "NaN"


def test_expressions_compute_with_them_and_models_receive_them(runs: Runs) -> None:
    flow = chain("nan", output={"fields": {"again": "again.x", "log": "model.log"}})
    flow["nodes"] += [
        {
            "id": "plus",
            "type": "transform",
            "config": {"fields": {"x": "model.log.map(v, v + 1.0)"}},
        },
        {"id": "again", "type": "transform", "config": {"fields": {"x": "second.reciprocal"}}},
        {
            "id": "second",
            "type": "inference",
            "config": {"model": "nan", "inputs": {"x": "plus.x"}},
        },
    ]
    flow["edges"] = [
        {"source": source, "target": target}
        for source, target in (
            *(("input", "model"), ("model", "plus"), ("plus", "second")),
            *(("second", "again"), ("again", "output")),
        )
    ]
    deployment = runs.deploy(flow, "sync", "server")
    body = runs.call(deployment, {"x": [-1, 0, 1]}).json()
    assert body["output_data"] == {"again": ["NaN", 0, 1], "log": ["NaN", "-Infinity", 0]}
    assert body["node_outputs"]["plus"]["output"] == {"x": ["NaN", "-Infinity", 1]}


@pytest.mark.parametrize("nested", [[-1, 0, 4], ["Infinity", "-Infinity", "NaN"]])
def test_v2_has_the_same_strings(installation: Installation, nested: list[object]) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [3], "data": nested}
    answer = installation.http.post("/v2/models/nan/infer", json={"inputs": [tensor], "id": "null"})
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    if nested[0] == -1:
        assert outputs == STRINGS
    else:
        assert outputs == {"log": ["Infinity", "NaN", "NaN"], "reciprocal": [0, -0.0, "NaN"]}


@pytest.mark.parametrize(("settings", "expected"), [({}, STRINGS), ({"non_finite": "null"}, NULLS)])
def test_large_outputs_of_fast_calls_are_the_same(
    runs: Runs, settings: dict[str, str], expected: Json
) -> None:
    output = output_of(runs, "fast", chain("nan"), {"x": GIVEN["x"] * MANY}, **settings)
    assert output == {name: values * MANY for name, values in expected.items()}


def test_a_large_output_of_a_fast_call_may_be_refused(runs: Runs) -> None:
    deployment = runs.deploy(chain("nan"), "fast", "server", non_finite="error")
    answer = runs.call(deployment, {"x": [1.0] * 3 * MANY + GIVEN["x"]})
    error = problem_of(answer, 500, "non_finite_output")
    assert f"output_data.log[{3 * MANY}]: expected a finite number, got NaN" in error["message"]


def test_a_large_output_of_v2_is_the_same(installation: Installation) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [3 * MANY], "data": GIVEN["x"] * MANY}
    answer = installation.http.post("/v2/models/nan/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text[:1000]
    outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    assert outputs == {name: values * MANY for name, values in STRINGS.items()}
