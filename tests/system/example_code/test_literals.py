"""Bodies arrive as they are in the test data, whatever the language."""

from __future__ import annotations

import pytest

from tests.gateway.examples.targets import CASES
from tests.system.example_code.examples import ROW, Examples, echo_flow, languages, printed
from tests.system.installation import chain

KEPT_BY_JSON = ("wait", "batch")


@languages
@pytest.mark.parametrize("variant", KEPT_BY_JSON)
def test_every_kind_of_value_arrives_unchanged(
    examples: Examples, language: str, variant: str
) -> None:
    # one member, so that names of members are those of JSON and not of expressions
    test_data = {"param1": CASES}
    deployment = examples.runs.deploy(echo_flow(test_data), "sync", "server")
    found = examples.one(deployment, language, variant)
    assert found["body_slots"]
    printed(examples.execute(found))
    output = examples.output_of_last_run(deployment)
    assert isinstance(output, dict)
    arrived = output["param1"]
    assert {name: arrived[name] for name in CASES if arrived[name] != CASES[name]} == {}
    assert arrived == CASES
    for name, value in CASES.items():  # 1 == True
        if not isinstance(value, float | int) or isinstance(value, bool):
            assert type(arrived[name]) is type(value), name


@languages
def test_numbers_of_tensors_that_json_does_not_have_are_texts(
    examples: Examples, language: str
) -> None:
    row = [["NaN", "Infinity", "-Infinity", 1e-9]]
    flow = chain("iris", input={"test_data": {"x": row}})
    deployment = examples.runs.deploy(flow, "fast", "server")
    assert "label" in printed(examples.execute(examples.one(deployment, language, "wait")))


def test_grpc_gets_the_same_numbers(examples: Examples) -> None:
    row = [["NaN", "Infinity", 1e-9, 2**53], *ROW]
    flow = chain("iris", input={"test_data": {"x": row}})
    deployment = examples.runs.deploy(flow, "fast", "server")
    example = examples.one(deployment, "grpc_python", "wait")
    by_grpc = printed(examples.execute(example))
    by_rest = examples.runs.call(deployment, {"x": row}).json()["output_data"]
    assert f"'label': array({by_rest['label']}" in by_grpc
