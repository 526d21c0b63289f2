"""Examples of all modes, types and formats run as copied."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests import onnx_models
from tests.system.example_code.examples import (
    ALL_VARIANTS,
    EXPECTED,
    MASK,
    ROW,
    VARIANTS,
    Examples,
    echo_flow,
    languages,
    printed,
    programs,
)
from tests.system.installation import chain
from tests.system.runs import problem_of

IMPOSSIBLE = {
    "curl": ("webhook",),
    "httpie": ("poll", "events", "webhook"),
    **dict.fromkeys(("python", "javascript", "go"), ("start",)),
}
"""By language: the variants that it has never."""

COVERING = {
    ("api", "auto", "sync"),
    ("server", "flat", "async"),
    ("server", "envelope", "fast"),
}
"""Each kind, format and mode."""
KINDS, FORMATS = ("api", "server"), ("auto", "flat", "envelope")
deployments = pytest.mark.parametrize(
    ("kind", "response_format", "mode"),
    [
        pytest.param(*each, marks=() if each in COVERING else pytest.mark.long)
        for each in itertools.product(KINDS, FORMATS, VARIANTS)
    ],
)
modes = pytest.mark.parametrize(
    "mode", ["sync", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("async", "fast"))]
)
"""The first has all variants."""


@languages
@deployments
def test_every_example_runs_as_copied(
    examples: Examples, language: str, kind: str, response_format: str, mode: str
) -> None:
    deployment = examples.deploy(mode, kind, response_format=response_format)
    found = examples.of(deployment, language=language)
    by_variant = {item["variant"]: item for item in found["items"]}
    assert list(by_variant) == [
        name for name in VARIANTS[mode] if name not in IMPOSSIBLE.get(language, ())
    ]
    absent = {item["variant"]: item["reason"] for item in found["absent"]}
    assert set(absent) == set(ALL_VARIANTS) - set(by_variant)
    assert all(absent.values())
    by_variant.pop("webhook", None)  # see test_receivers.py
    for variant, example in by_variant.items():
        output = printed(examples.execute(example))
        for expected in EXPECTED[mode][variant]:
            assert re.search(expected, output), (variant, output)
        if mode != "fast":
            assert examples.output_of_last_run(deployment) == {"param1": "value1"}


@languages
@modes
def test_the_key_can_be_in_the_environment(examples: Examples, language: str, mode: str) -> None:
    deployment = examples.deploy(mode)
    key = examples.installation.key
    found = examples.of(deployment, language=language, key="environment", retry="true")
    runnable = [item for item in found["items"] if item["variant"] != "webhook"]
    assert runnable
    for example in runnable:
        assert not MASK.search(example["code"])
        output = printed(examples.execute(example, SLIPSTREAM_API_KEY=key))
        for expected in EXPECTED[mode][example["variant"]]:
            assert re.search(expected, output), (example["variant"], output)
        unset = examples.execute(example)
        assert unset.returncode != 0
        assert "SLIPSTREAM_API_KEY" in unset.stderr


@languages
@modes
def test_the_body_of_a_long_input_is_in_a_file(
    examples: Examples, language: str, mode: str
) -> None:
    test_data = {"param1": "value1", "long": ["it's", "🚀"] * 1000}
    flow = echo_flow(test_data)
    if mode == "fast":
        flow = chain("iris", input={"test_data": {"x": ROW * 300}})
    deployment = examples.runs.deploy(flow, mode, "server")
    found = examples.of(deployment, language=language)
    by_variant = {item["variant"]: item for item in found["items"]}
    by_variant.pop("webhook", None)
    assert ("batch" in by_variant) == (language not in ("curl", "httpie"))
    file = found["input_file"]
    (examples.folder / file["name"]).write_text(file["content"])
    for example in by_variant.values():
        assert example["body_slots"] == []
        printed(examples.execute(example))
        if mode != "fast":
            assert examples.output_of_last_run(deployment) == test_data


@languages
def test_a_flow_without_test_data_is_called_as_documented(
    examples: Examples, language: str
) -> None:
    deployment = examples.runs.deploy(echo_flow(None), "sync", "server")
    printed(examples.execute(examples.one(deployment, language, "wait")))
    assert examples.output_of_last_run(deployment) == {"param1": "value1"}


@languages
def test_an_example_calls_the_version_that_it_is_asked_for(
    examples: Examples, language: str
) -> None:
    deployment = examples.deploy()
    flow = f"/node/flows/{examples.runs.flow_of(deployment)}/"
    assert examples.http.put(flow, json=echo_flow({"other": [1]})).is_success
    assert examples.http.post(f"/node/deployments/{deployment}/redeploy/").is_success
    for choices, expected in (({}, {"other": [1]}), ({"version": 1}, {"param1": "value1"})):
        printed(examples.execute(examples.one(deployment, language, "wait", **choices)))
        assert examples.output_of_last_run(deployment) == expected


@languages
def test_a_refused_call_prints_code_message_and_request(examples: Examples, language: str) -> None:
    deployment = examples.deploy()
    example = examples.one(deployment, language, "wait")
    assert examples.http.post(f"/node/deployments/{deployment}/pause/").is_success
    ran = examples.execute(example)
    printed_text = ran.stdout + ran.stderr
    assert "deployment_paused" in printed_text
    assert re.search(r"req_[0-9a-f]+", printed_text)
    if language != "curl":  # plain curl ends with 0: Postman's importer knows no --fail-with-body
        assert ran.returncode != 0


@programs
@pytest.mark.parametrize("response_format", ["flat", "envelope"])
def test_a_failed_run_prints_code_message_and_request(
    examples: Examples, language: str, response_format: str
) -> None:
    flow = echo_flow({"param1": "value1"})
    flow["nodes"][1]["config"]["fields"] = {"param1": "1 / size(input.none)"}
    flow["nodes"][0]["config"]["test_data"] = {"none": []}
    deployment = examples.runs.deploy(flow, "sync", "server", response_format=response_format)
    for variant in ("wait", "poll"):
        ran = examples.execute(examples.one(deployment, language, variant))
        assert ran.returncode != 0
        assert re.search(r"invalid_input|flow_failed", ran.stderr), ran.stderr
        assert "zero" in ran.stderr
        assert re.search(r"req_[0-9a-f]+", ran.stderr)


def test_a_model_is_called_by_grpc(examples: Examples) -> None:
    for mode in VARIANTS:
        flow = chain("iris", input={"test_data": {"x": ROW}})
        deployment = examples.runs.deploy(flow, mode, "server")
        for choices in ({"retry": "true"}, {"retry": "false"}, {"key": "environment"}):
            example = examples.one(deployment, "grpc_python", "wait", **choices)
            ran = examples.execute(example, SLIPSTREAM_API_KEY=examples.installation.key)
            assert "'label': array([0]" in printed(ran)
        ran = examples.execute(example, SLIPSTREAM_API_KEY="sk-none")
        assert ran.returncode != 0
        assert "API Error: StatusCode.UNAUTHENTICATED" in ran.stderr


@pytest.mark.parametrize("mode", ["sync", "fast"])
def test_rows_by_column_name_are_called_in_every_language(
    examples: Examples, tmp_path: Path, mode: str
) -> None:
    model = onnx_models.mlp(tmp_path / "named.onnx")
    words = ("--columns", "a,b,c,d", "--classes", "low,middle,high", "--name", f"named-{mode}")
    command = examples.installation.command
    deployment = command("deploy", str(model), "--mode", mode, *words)["id"]
    for language in ("httpie", "python", "grpc_python"):
        example = examples.one(deployment, language, "wait")
        assert re.search(r"""['"]a["'].*0\.5""", example["code"])
        output = printed(examples.execute(example))
        assert ("array([[" if language == "grpc_python" else "middle") in output
    rows = {"x": [{"d": 4, "c": 3, "b": 2, "a": 1}, [1, 2, 3, 4]]}
    by_name, by_place = examples.runs.call(deployment, rows).json()["output_data"]["y"]
    assert by_name == by_place
    refused = examples.runs.call(deployment, {"x": [{"a": 1, "e": 2}]})
    problem = problem_of(refused, 422, "invalid_tensor")
    assert "row [0]: missing ['b', 'c', 'd'], unknown ['e']" in problem["message"]


def test_grpc_reads_long_tensors_from_a_file(examples: Examples) -> None:
    flow = chain("iris", input={"test_data": {"x": ROW * 300}})
    example = examples.one(examples.runs.deploy(flow, "sync", "server"), "grpc_python", "wait")
    assert example["body_slots"] == []
    assert "'label': array([0" in printed(examples.execute(example))


def test_a_flow_of_more_than_a_model_has_no_example_of_grpc(examples: Examples) -> None:
    found = examples.of(examples.deploy(), language="grpc_python")
    assert found["items"] == []
    reasons = {item["variant"]: item["reason"] for item in found["absent"]}
    assert "expected one inference node, there are 0" in reasons["wait"]
    assert set(reasons) == set(ALL_VARIANTS)
