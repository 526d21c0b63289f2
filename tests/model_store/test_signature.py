"""What the manifest says about all the kinds of inputs and outputs that ONNX has."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference_server.runtime.verify import inspect
from model_store.manifest import Inspection
from model_store.tensor_spec import TensorSpec
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


def test_sequences_and_other_datatypes_are_named_as_unsupported(tmp_path: Path) -> None:
    sequence = inspect(onnx_models.sequence_input(tmp_path / "sequence.onnx"))
    assert sequence.inputs == ()
    assert sequence.unsupported_inputs == {"x": "seq(tensor(float))"}
    small = inspect(onnx_models.float8_output(tmp_path / "small.onnx", alone=True))
    assert small.outputs == ()
    assert small.unsupported_outputs == {"small": "tensor(float8e4m3fn)"}


@pytest.mark.parametrize("labels", [(0, 1, 2), (2, 0, 1), ("setosa", "ü", "")])
def test_probabilities_by_class_are_a_tensor_with_labels(
    tmp_path: Path, labels: tuple[int, ...] | tuple[str, ...]
) -> None:
    found = inspect(onnx_models.map_output(tmp_path / "maps.onnx", labels))
    assert found.unsupported_outputs == {}
    assert found.outputs[1] == TensorSpec(
        name="probabilities", datatype="FP32", shape=(-1, 3), class_labels=labels
    )
    assert Inspection.from_json(found.to_json()) == found


def test_too_many_classes_are_not_served(tmp_path: Path) -> None:
    found = inspect(onnx_models.map_output(tmp_path / "maps.onnx", range(10_001)))
    assert found.unsupported_outputs == {"probabilities": "seq(map(int64,tensor(float)))"}


def test_bfloat16_outputs_beside_string_inputs_are_unsupported(tmp_path: Path) -> None:
    found = inspect(onnx_models.identities(tmp_path / "m.onnx", ["BF16", "BYTES"]))
    assert [output.name for output in found.outputs] == ["BYTES_out"]
    assert list(found.unsupported_outputs) == ["BF16_out"]


def test_an_inspection_survives_its_json(tmp_path: Path) -> None:
    found = inspect(onnx_models.external_data(tmp_path / "m.onnx"))
    assert found.external_data == ("weights.bin",)
    assert Inspection.from_json(found.to_json()) == found
