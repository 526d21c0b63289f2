"""A caller's mistakes: refused before a run exists, in the same words in every mode and type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.system.flow_documents import linear_flow, node
from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs, problem_of

GOOD: Json = {"number": [[1, 2.5]], "count": [3], "text": ["ä"]}
MODES = (("sync", "server"), ("sync", "api"), ("async", "server"), ("async", "api"))
LARGE = 80_000
"""Rows of two numbers: more than 1 MiB of JSON."""

Refused = tuple[int, str, str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def runs(installation: Installation) -> Runs:
    return Runs(installation)


@pytest.fixture(scope="module")
def deployed(runs: Runs) -> dict[tuple[str, str], str]:
    """Deploy a flow of the model `mixed` in every mode and type."""
    flow = chain("mixed")
    return {(mode, kind): runs.deploy(flow, mode, kind) for mode, kind in [("fast", "api"), *MODES]}


def refused(answer: httpx.Response) -> Refused:
    """Return what a caller reads of a refusal."""
    problem = answer.json()
    return answer.status_code, problem["code"], problem["message"], problem["errors"]


def mistake(**values: object) -> Json:
    """Return `input_data` with other values than GOOD; `...` leaves one out."""
    return {name: value for name, value in {**GOOD, **values}.items() if value is not ...}


@pytest.mark.parametrize(
    ("input_data", "code", "pointer"),
    [
        pytest.param({}, "invalid_input", "number", id="empty"),
        pytest.param(mistake(count=...), "invalid_input", "count", id="missing"),
        pytest.param(mistake(number=None), "invalid_tensor", "number", id="null"),
        pytest.param(mistake(number={"a": 1}), "invalid_tensor", "number", id="object"),
        pytest.param(mistake(number=[["1", "2"]]), "invalid_tensor", "number", id="text"),
        pytest.param(mistake(text=[1]), "invalid_tensor", "text", id="number for text"),
        pytest.param(mistake(count=[1.5]), "invalid_tensor", "count", id="fraction"),
        pytest.param(mistake(count=[True]), "invalid_tensor", "count", id="boolean"),
        pytest.param(mistake(number=[[1e39, 1]]), "invalid_tensor", "number", id="range"),
        pytest.param(mistake(number=[1, 2]), "invalid_tensor", "number", id="flat"),
        pytest.param(mistake(number=[[[1, 2]]]), "invalid_tensor", "number", id="too deep"),
        pytest.param(mistake(number=[[1, 2], [1]]), "invalid_tensor", "number", id="ragged"),
        pytest.param(mistake(number=[[1, 2, 3]]), "invalid_tensor", "number", id="dimension"),
        pytest.param(mistake(number=[]), "invalid_tensor", "number", id="no rows"),
        pytest.param(mistake(count=3), "invalid_tensor", "count", id="scalar"),
        pytest.param(
            mistake(number=[[1, 2, 3]], text=...), "invalid_input", "text", id="two mistakes"
        ),
        pytest.param(
            mistake(number=[[1.123, 2.456]] * LARGE + [[1, "2"]]),
            "invalid_tensor",
            "number",
            id="large",
        ),
    ],
)
def test_a_mistake_is_refused_the_same_in_every_mode_and_type(
    runs: Runs, deployed: dict[tuple[str, str], str], input_data: Json, code: str, pointer: str
) -> None:
    fast = refused(runs.call(deployed["fast", "api"], input_data))
    assert (fast[0], fast[1]) == (422, code)
    assert fast[3] == [{"detail": fast[2], "pointer": f"#/input_data/{pointer}"}]
    for mode in MODES:
        assert refused(runs.call(deployed[mode], input_data)) == fast, mode
        assert runs.list_all(deployment=deployed[mode]) == []


@pytest.mark.parametrize(
    "input_data",
    [
        pytest.param(GOOD, id="small"),
        pytest.param({**GOOD, "unknown": 1}, id="additional"),
        pytest.param(mistake(number=[[1, 2]] * 3, count=[], text=["", "b"]), id="sizes"),
        pytest.param(mistake(count=[3.0]), id="whole number"),
        pytest.param(mistake(number=[[1.5, 2.25]] * LARGE), id="large"),
    ],
)
def test_good_input_is_accepted_the_same(runs: Runs, input_data: Json) -> None:
    outputs = []
    for mode in ("fast", "sync"):
        answer = runs.call(runs.deploy(chain("mixed"), mode, "server"), input_data)
        assert answer.status_code == 200, answer.text[:300]
        outputs.append(answer.json()["output_data"])
    assert outputs[0] == outputs[1]


def test_an_item_of_a_batch_is_checked_like_a_call(runs: Runs) -> None:
    deployment = runs.deploy(chain("mixed"), "sync", "server")
    answer = runs.http.post(
        f"/node/deployment-trigger/{deployment}/batch/",
        json={"input_data": [GOOD, mistake(number=[[1, 2, 3]])]},
    )
    good, bad = answer.json()["results"]
    assert good["status"] == "completed", good
    assert (bad["status"], bad["error"]["code"]) == ("failed", "invalid_tensor")


def branched(model: Json) -> Json:
    """Return a flow whose model is asked only where `input.ask` is true."""
    nodes = [
        node("input", "api_input"),
        node("choice", "branch", condition="input.ask"),
        model,
        node("output", "api_output", fields={"asked": "model != null"}),
    ]
    flow = linear_flow("Maybe", *nodes)
    flow["edges"][1]["case"] = "true"
    flow["edges"].append({"source": "choice", "target": "output", "case": "false"})
    return flow


def tolerant(model: Json) -> Json:
    """Return a flow that goes on where the model fails."""
    model["on_error"] = {"fallback": {}}
    output = node("output", "api_output", fields={"asked": "has(model.label)"})
    return linear_flow("Tolerant", node("input", "api_input"), model, output)


@pytest.mark.parametrize("flow", [branched, tolerant])
def test_a_value_that_a_run_may_do_without_is_not_required(
    runs: Runs, flow: Callable[[Json], Json]
) -> None:
    model: dict[str, Any] = node("model", "inference", model="iris", inputs={"x": "input.x"})
    deployment = runs.deploy(flow(model), "sync", "server")
    answer = runs.call(deployment, {"ask": False})
    assert answer.status_code == 200, answer.text
    assert answer.json()["output_data"] == {"asked": False}


def test_the_pointer_follows_the_path_of_the_expression(runs: Runs) -> None:
    model = node("model", "inference", model="iris", inputs={"x": "input.flower.sizes"})
    flow = linear_flow("Nested", node("input", "api_input"), model, node("output", "api_output"))
    answer = runs.call(runs.deploy(flow, "sync", "server"), {"flower": {"sizes": [[1, 2, 3]]}})
    problem = problem_of(answer, 422, "invalid_tensor")
    assert problem["errors"][0]["pointer"] == "#/input_data/flower/sizes"


COMPUTED = (
    ("input.sizes", {}, "invalid_input", "numbers", "'sizes' is required"),
    ("input.sizes + [0.0]", {}, "invalid_input", "numbers", "unknown key 'sizes'"),
    ("input.sizes + [0.0]", {"sizes": 5}, "invalid_input", "numbers", "types do not match"),
    ("[double(input.sizes)]", {"sizes": "two"}, "invalid_input", "numbers", "invalid float"),
    ("[input.sizes, 'text']", {"sizes": 1}, "invalid_tensor", "model", "expected FP32 values"),
    ("[input.sizes]", {"sizes": "text"}, "invalid_tensor", "model", "expected FP32 values"),
)


@pytest.mark.parametrize("case", COMPUTED)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_value_that_is_computed_from_the_input_alone_is_the_callers(
    runs: Runs, mode: str, case: tuple[str, Json, str, str, str]
) -> None:
    expression, input_data, code, node_id, words = case
    flow = linear_flow(
        "Computed",
        node("input", "api_input"),
        node("numbers", "transform", fields={"x": expression}),
        node("model", "inference", model="iris", inputs={"x": "[numbers.x]"}),
        node("output", "api_output"),
    )
    deployment = runs.deploy(flow, mode, "server")
    if mode == "sync":
        problem = problem_of(runs.call(deployment, input_data), 422, code)
        assert words in problem["message"]
        assert (problem["node_id"], problem["retryable"]) == (node_id, False)
        run_id = problem["flow_run_id"]
    else:
        run_id = runs.accept(deployment, input_data)
    run = runs.until(run_id)
    assert run["status"] == "failed"
    assert (run["error"]["code"], run["error"]["node_id"]) == (code, node_id)


def test_the_derived_schema_and_example_are_shown(runs: Runs) -> None:
    for flow, source in (
        (chain("mixed"), "models"),
        (chain("mixed", input={"schema": {}}), "flow"),
    ):
        deployment = runs.deploy(flow, "sync", "server")
        version = runs.http.get(f"/node/deployments/{deployment}/versions/1/").json()
        assert version["input_schema_source"] == source
    version = runs.http.get(
        f"/node/deployments/{runs.deploy(chain('mixed'), 'sync', 'server')}/versions/1/"
    ).json()
    assert set(version["input_schema"]["required"]) == {"number", "count", "text"}
    for mode in ("sync", "fast"):
        deployment = runs.deploy(chain("mixed"), mode, "server")
        answer = runs.call(deployment, version["input_example"])
        assert answer.status_code == 200, answer.text
