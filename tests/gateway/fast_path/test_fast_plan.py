"""The fast plan."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deployments.fast_plan import FastPlan, compile_plan
from gateway.errors import GatewayError
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin, TensorSpec
from tests.gateway.in_process_gateway import flow_json


def tensor(name: str, *, optional: bool = False) -> TensorSpec:
    """Return a tensor of rank 2."""
    return TensorSpec(name=name, datatype="FP32", shape=(-1, 4), optional=optional)


PIN = Pin(
    model="iris",
    version=3,
    sha256="0" * 64,
    inputs=(tensor("x"), tensor("scale", optional=True)),
    outputs=(tensor("label"), tensor("output.probability")),
    unsupported_inputs={},
    unsupported_outputs={"maps": "seq(map(int64,tensor(float)))"},
)


def plan(flow: dict[str, Any], pin: Pin = PIN) -> FastPlan:
    """Return the plan of `flow` on the model `pin`."""
    return compile_plan(parse_flow(flow), {"model": pin})


def asking(inputs: object = None, fields: object = None) -> dict[str, Any]:
    """Return a flow with these maps."""
    flow = flow_json("iris", inputs=inputs)
    flow["nodes"][2]["config"]["fields"] = fields
    return flow


def test_without_mappings_tensors_keep_their_names() -> None:
    found = plan(asking())
    assert (found.model, found.version) == ("iris", 3)
    assert [(i.name, i.path, i.spec) for i in found.inputs] == [
        ("x", ("x",), PIN.inputs[0]),
        ("scale", ("scale",), PIN.inputs[1]),
    ]
    assert [(o.field, o.name) for o in found.outputs] == [
        ("label", "label"),
        ("output.probability", "output.probability"),
    ]


def test_mappings_select_rename_and_follow_paths() -> None:
    found = plan(
        asking(
            inputs={"x": 'input.flower["sepal and petal"]'},
            fields={"p": 'model["output.probability"]', "label": "model.label", "l": "model.label"},
        )
    )
    assert [(i.name, i.path) for i in found.inputs] == [("x", ("flower", "sepal and petal"))]
    assert [(o.field, o.name) for o in found.outputs] == [
        ("p", "output.probability"),
        ("label", "label"),
        ("l", "label"),
    ]


def test_the_whole_input_can_be_one_tensor() -> None:
    assert plan(asking(inputs={"x": "input"})).inputs[0].path == ()


@pytest.mark.parametrize(
    ("inputs", "fields", "reason"),
    [
        ({"scale": "input.s"}, None, "gives no value for the input 'x'"),
        ({"x": "input.x", "z": "input.z"}, None, "iris has no input 'z', it has 'x', 'scale'"),
        ({"x": "input.x * 2"}, None, "more than a path"),
        ({"x": "model.label"}, None, "expected a value of 'input'"),
        (None, {"y": "model.nothing"}, "no output 'nothing', it has 'label', 'output.probability'"),
        (None, {"y": "model"}, "expected one output"),
        (None, {"y": "model.label.first"}, "no part of it"),
        (None, {"y": "input.x"}, "expected a value of 'model'"),
        (None, {"y": "model.maps"}, "output 'maps' of iris is seq"),
    ],
)
def test_flows_that_need_the_engine_are_refused_with_the_reason(
    inputs: object, fields: object, reason: str
) -> None:
    with pytest.raises(GatewayError, match="cannot be deployed as fast") as caught:
        plan(asking(inputs, fields))
    assert caught.value.code == "invalid_flow"
    assert reason in caught.value.message
    assert "deploy it in mode sync or async" in caught.value.message


def _with_node(node_type: str, **config: str) -> dict[str, Any]:
    flow = flow_json("iris")
    flow["nodes"].append({"id": "extra", "type": node_type, "config": config})
    return flow


def _with_edges(*edges: tuple[str, str]) -> dict[str, Any]:
    flow = flow_json("iris")
    flow["edges"] = [{"source": source, "target": target} for source, target in edges]
    return flow


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (_with_node("transform", expression="1"), "node 'extra' (transform) needs the flow engine"),
        (_with_node("inference", model="iris"), "expected one inference node, there are 2"),
        (_with_node("api_input"), "expected one api_input node, there are 2"),
        (_with_edges(("input", "model")), "expected an edge from 'model' to 'output'"),
        (_with_edges(), "expected an edge from 'input' to 'model'"),
        (
            _with_edges(("input", "model"), ("model", "output"), ("input", "output")),
            "the edge from 'input' to 'output' leads past the model",
        ),
    ],
)
def test_other_shapes_of_flow_need_the_engine(flow: dict[str, Any], reason: str) -> None:
    with pytest.raises(GatewayError) as caught:
        plan(flow)
    assert reason in caught.value.message


def test_a_model_with_an_input_that_is_not_a_tensor_is_refused() -> None:
    pin = Pin.from_json(PIN.to_json() | {"unsupported_inputs": {"s": "seq(tensor(float))"}})
    with pytest.raises(GatewayError, match="input 's' of iris is seq"):
        plan(asking(), pin)


@given(st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), min_size=1))
def test_a_path_of_names_is_the_path_of_the_plan(names: list[str]) -> None:
    found = plan(asking(inputs={"x": ".".join(["input", *names])}))
    assert found.inputs[0].path == tuple(names)


_dimensions = st.none() | st.lists(st.integers(-1, 2**40)).map(tuple)


@given(
    st.lists(
        st.builds(
            TensorSpec,
            name=st.text(),
            datatype=st.sampled_from(["FP32", "BYTES"]),
            shape=_dimensions,
            optional=st.booleans(),
        )
    ).map(tuple)
)
def test_a_pin_survives_being_stored(inputs: tuple[TensorSpec, ...]) -> None:
    pin = Pin.from_json(PIN.to_json())
    assert pin == PIN
    changed = dataclasses.replace(PIN, inputs=inputs)
    assert Pin.from_json(json.loads(json.dumps(changed.to_json()))) == changed
