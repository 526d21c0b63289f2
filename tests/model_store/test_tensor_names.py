"""Names of columns and classes: how they are given, which tensors get them, and what keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.store import ModelStore
from model_store.tensor_names import TensorNames
from model_store.tensor_spec import TensorSpec
from model_store.verification import Verifier
from tests import onnx_models

INPUTS = (
    TensorSpec(name="open", datatype="FP32", shape=(-1, -1)),
    TensorSpec(name="three", datatype="FP32", shape=(-1, 3)),
    TensorSpec(name="number", datatype="FP32", shape=()),
)
OUTPUTS = (
    TensorSpec(name="label", datatype="INT64", shape=(-1, 2)),
    TensorSpec(name="map", datatype="FP32", shape=(-1, 2), class_labels=(0, 1)),
    TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 2)),
)


def given(columns: str | None = None, classes: str | None = None) -> dict[str, object]:
    """Return the names that each tensor has that has some."""
    inputs, outputs = TensorNames.parse(columns, classes).given_to(INPUTS, OUTPUTS)
    found: dict[str, object] = {spec.name: spec.columns for spec in inputs if spec.columns}
    named = {spec.name: spec.class_labels for spec in outputs if spec not in OUTPUTS}
    return found | named


def test_the_tensor_with_as_many_places_gets_them() -> None:
    assert given(columns="a, b ,c") == {"three": ("a", "b", "c")}
    assert given(columns="a,b") == {"open": ("a", "b")}
    assert given(classes="no,yes") == {"probabilities": ("no", "yes")}
    assert given() == given(columns=" ", classes="") == {}


@pytest.mark.parametrize(
    ("columns", "classes", "said"),
    [
        ("a,,b", None, "columns: expected names with commas between them, got an empty name"),
        (None, "a,b,a", "classes: expected names with commas between them, got 'a' twice"),
        ("a" * 129, None, "got one with more than 128 characters"),
        (",".join(map(str, range(10_001))), None, "got 10001 of them"),
        (None, "a,b,c", "classes: expected one FP output [N, …] with 3 columns, got 'label' INT64"),
        (None, "a,b,c", "'map' FP32 [-1, 2], with classes of the model's own"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    columns: str | None, classes: str | None, said: str
) -> None:
    with pytest.raises(StoreError) as refused:
        given(columns, classes)
    assert said in str(refused.value)


@pytest.mark.processes
def test_a_manifest_keeps_them_and_older_releases_read_it(
    store: ModelStore, tmp_path: Path, verifier: Verifier
) -> None:
    names = TensorNames.parse("a,b,c,d", "low,middle,high")
    model = onnx_models.mlp(tmp_path / "mlp.onnx")
    manifest = store.publish(model, "mlp", verifier=verifier, names=names)
    assert manifest.inputs[0].columns == ("a", "b", "c", "d")
    assert manifest.outputs[0].class_labels == ("low", "middle", "high")
    assert store.manifest("mlp", 1) == manifest
    written = json.loads(manifest.to_json())
    # An older release builds a tensor of all members, and does not look at `names`.
    assert all("columns" not in tensor for tensor in written["inputs"] + written["outputs"])
    del written["names"]
    older = Manifest.from_json(json.dumps(written).encode())
    assert older.inputs[0].columns is None
