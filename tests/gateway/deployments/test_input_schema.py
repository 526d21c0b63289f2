"""The schema and the example of `input_data` that models imply."""

from __future__ import annotations

from time import monotonic
from typing import Any

import orjson
import pytest

from gateway.body_parsing.parser import build_parser
from gateway.children.metrics import ChildMetrics
from gateway.deployments.input_schema import InputDescription, describe_input
from gateway.deployments.input_tensors import input_tensors
from gateway.flows.json_schema import build_validator, schema_errors
from gateway.flows.plan import compile_plan
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin, TensorSpec
from protos.datatypes import DATATYPES
from telemetry.instruments import Registry
from tests.gateway.in_process_gateway import flow_json
from tests.timing import TIMEOUT_SECONDS

SPECS = {
    "x": TensorSpec(name="x", datatype="FP32", shape=(-1, 2)),
    "count": TensorSpec(name="count", datatype="UINT8", shape=()),
    "text": TensorSpec(name="text", datatype="BYTES", shape=(-1,)),
    "flag": TensorSpec(name="flag", datatype="BOOL", shape=(1,), optional=True),
}
FLOAT = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def pin(*specs: TensorSpec) -> Pin:
    """Return a model with these inputs."""
    return Pin(
        model="m",
        version=1,
        sha256="0" * 64,
        inputs=specs,
        outputs=(),
        unsupported_inputs={},
        unsupported_outputs={},
    )


def described(
    *specs: TensorSpec, inputs: dict[str, str] | None = None, **config: Any
) -> InputDescription:
    """Return what a flow of one model expects; `config` is that of its `api_input`."""
    definition = flow_json("m", **({} if inputs is None else {"inputs": inputs}))
    definition["nodes"][0]["config"] = config
    return describe_input(definition, {"model": pin(*specs)})


def test_the_schema_of_the_flow_comes_first() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "array"}}}
    found = described(SPECS["x"], schema=schema, test_data={"x": [[1, 2]]})
    assert (found.schema, found.source, found.example) == (schema, "flow", {"x": [[1, 2]]})


def test_a_schema_is_derived_from_the_models() -> None:
    found = described(*SPECS.values())
    assert found.source == "models"
    assert found.schema == {
        "type": "object",
        "required": ["x", "count", "text"],
        "properties": {
            "x": {
                "type": "array",
                "items": {"type": "array", "items": FLOAT, "minItems": 2, "maxItems": 2},
                "description": "Tensor 'x', FP32 with shape [-1, 2]",
                "x-tensor": {"datatype": "FP32", "shape": [-1, 2]},
            },
            "count": {
                "type": "integer",
                "minimum": 0,
                "maximum": 255,
                "description": "Tensor 'count', UINT8 with shape []",
                "x-tensor": {"datatype": "UINT8", "shape": []},
            },
            "text": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Tensor 'text', BYTES with shape [-1]",
                "x-tensor": {"datatype": "BYTES", "shape": [-1]},
            },
            "flag": {
                "type": "array",
                "items": {"type": "boolean"},
                "minItems": 1,
                "maxItems": 1,
                "description": "Tensor 'flag', BOOL with shape [1]",
                "x-tensor": {"datatype": "BOOL", "shape": [1]},
            },
        },
    }
    assert found.example == {"x": [[0.5, 0.5]], "count": 1, "text": ["text"]}


def test_nested_paths_are_nested_objects() -> None:
    inputs = {"x": "input.flower.sizes", "text": "input.flower.name"}
    found = described(SPECS["x"], SPECS["text"], inputs=inputs)
    assert found.schema is not None
    flower = found.schema["properties"]["flower"]
    assert found.schema["required"] == ["flower"]
    assert (list(flower["properties"]), flower["required"]) == (
        ["sizes", "name"],
        ["sizes", "name"],
    )
    assert found.example == {"flower": {"sizes": [[0.5, 0.5]], "name": ["text"]}}


def test_test_data_is_the_example() -> None:
    found = described(SPECS["x"], test_data={"x": [[5, 6]]})
    assert (found.source, found.example) == ("models", {"x": [[5, 6]]})


def test_computed_values_have_no_schema() -> None:
    found = described(SPECS["x"], inputs={"x": "[input.x]"})
    assert found == InputDescription(schema=None, source=None, example=None)


def test_large_tensors_have_no_example() -> None:
    image = TensorSpec(name="x", datatype="FP32", shape=(-1, 3, 224, 224))
    assert described(image).example is None


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("shape", [(), (-1,), (2, -1), None])
@pytest.mark.parametrize("columns", [None, ("a", "b")])
async def test_the_example_is_valid_and_accepted(
    datatype: str, shape: tuple[int, ...] | None, columns: tuple[str, ...] | None
) -> None:
    spec = TensorSpec(name="x", datatype=datatype, shape=shape, columns=columns if shape else None)
    found = described(spec)
    assert found.schema is not None
    assert found.example is not None
    assert schema_errors(build_validator(found.schema), found.example) == []
    flow = parse_flow(flow_json("m"))
    tensors = input_tensors(flow, compile_plan(flow), {"model": pin(spec)})
    parser = build_parser(ChildMetrics(Registry()))
    written = orjson.dumps(found.example)
    await tensors.check(found.example, written, parser, "a tenant", monotonic() + TIMEOUT_SECONDS)
    await parser.close()


def test_rows_are_objects_or_lists_where_columns_have_names() -> None:
    spec = TensorSpec(name="x", datatype="FP32", shape=(-1, 2), columns=("age", "income"))
    found = described(spec)
    assert found.example == {"x": [{"age": 0.5, "income": 0.5}]}
    assert found.schema is not None
    validator = build_validator(found.schema)
    for value in ([{"age": 1, "income": 2}, [3, 4]], [[1, 2]], []):
        assert schema_errors(validator, {"x": value}) == []
    for value in ([{"age": 1}], [{"age": 1, "income": 2, "x": 3}], [{"age": "1", "income": 2}]):
        assert schema_errors(validator, {"x": value})


@pytest.mark.parametrize(
    "value", ["text", [["1", 2]], [[1, 2, 3]], [[None, 1]], [1, 2], {}, [[True, 1]]]
)
def test_the_schema_refuses_what_the_model_refuses(value: object) -> None:
    found = described(SPECS["x"])
    assert found.schema is not None
    assert schema_errors(build_validator(found.schema), {"x": value})
