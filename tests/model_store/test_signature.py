"""What the manifest says about all the kinds of inputs and outputs that ONNX has."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference_server.runtime.verify import inspect
from model_store.manifest import Inspection, TensorSpec
from tests import onnx_models


@pytest.mark.parametrize("datatype", onnx_models.ELEMENT_TYPES)
def test_every_datatype_of_the_protocol_has_its_name(tmp_path: Path, datatype: str) -> None:
    found = inspect(onnx_models.identity(tmp_path / "m.onnx", datatype, ("N", 2, "M")))
    assert found.inputs == (TensorSpec(name="x", datatype=datatype, shape=(-1, 2, -1)),)
    assert found.outputs == (TensorSpec(name="y", datatype=datatype, shape=(-1, 2, -1)),)


def test_a_scalar_and_a_tensor_of_any_rank_differ(tmp_path: Path) -> None:
    scalar = inspect(onnx_models.identity(tmp_path / "scalar.onnx", shape=()))
    anything = inspect(onnx_models.identity(tmp_path / "any.onnx", shape=None))
    assert (scalar.inputs[0].shape, scalar.outputs[0].shape) == ((), ())
    assert (anything.inputs[0].shape, anything.outputs[0].shape) == (None, None)


def test_initializers_that_a_caller_may_override_are_optional_inputs(tmp_path: Path) -> None:
    found = inspect(onnx_models.optional_input(tmp_path / "m.onnx"))
    assert found.inputs == (
        TensorSpec(name="x", datatype="FP32", shape=(-1,)),
        TensorSpec(name="scale", datatype="FP32", shape=(1,), optional=True),
    )


def test_an_input_of_an_optional_type_is_optional(tmp_path: Path) -> None:
    found = inspect(onnx_models.optional_type(tmp_path / "m.onnx"))
    assert found.inputs == (TensorSpec(name="x", datatype="FP32", shape=(-1,), optional=True),)


def test_sequences_and_maps_are_named_as_unsupported(tmp_path: Path) -> None:
    sequence = inspect(onnx_models.sequence_input(tmp_path / "sequence.onnx"))
    maps = inspect(onnx_models.map_output(tmp_path / "maps.onnx"))
    assert sequence.inputs == ()
    assert sequence.unsupported_inputs == {"x": "seq(tensor(float))"}
    assert [output.name for output in maps.outputs] == ["best"]
    assert maps.unsupported_outputs == {"probabilities": "seq(map(int64,tensor(float)))"}


def test_an_inspection_survives_its_json(tmp_path: Path) -> None:
    found = inspect(onnx_models.external_data(tmp_path / "m.onnx"))
    assert found.external_data == ("weights.bin",)
    assert Inspection.from_json(found.to_json()) == found
