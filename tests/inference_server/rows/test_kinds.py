"""Which models as people have them are proved, and that their rows are apart when they run."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto

from inference_server.runtime.rows.proof import prove

PROVED = (
    "linear",
    "logistic",
    "tree",
    "forest",
    "boosting",
    "support_vectors",
    "texts",
    "convolutional",
    "transformer",
    "masked_by_pairs",
    "masked_by_list",
    "recurrent",
)
SIZES = {"steps": 5}


@pytest.fixture(scope="module")
def kinds() -> ModuleType:
    """Functions that build models; imported here, as scikit-learn takes seconds."""
    return importlib.import_module("tests.inference_server.rows.kinds")


def rows_of(model: ModelProto, count: int) -> dict[str, np.ndarray]:
    """Return random inputs with so many rows."""
    source = np.random.default_rng(3)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim[1:]
        shape = [count, *(size.dim_value or SIZES[size.dim_param] for size in sizes)]
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            feeds[value.name] = source.choice(["red", "blue", "s", "m"], shape).astype(object)
        else:
            feeds[value.name] = source.normal(size=shape).astype("f4")
    return feeds


def assert_rows_are_apart(model: ModelProto) -> None:
    """Replace one row of four; no bit of another row may change."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds, others = rows_of(model, 4), rows_of(model, 5)
    changed = {name: array.copy() for name, array in feeds.items()}
    for name, array in others.items():
        changed[name][2] = array[4]
    for before, after in zip(session.run(None, feeds), session.run(None, changed), strict=True):
        for row in (0, 1, 3):
            if isinstance(before, list):
                assert before[row] == after[row]
            else:
                assert np.array_equal(before[row], after[row], equal_nan=before.dtype.kind == "f")


@pytest.mark.parametrize("name", PROVED)
def test_it_is_proved(kinds: ModuleType, name: str) -> None:
    model = getattr(kinds, name)()
    assert prove(model).reason is None
    assert_rows_are_apart(model)


@pytest.mark.parametrize("name", ["static_qdq", "static_operators"])
def test_a_model_of_int8_with_scales_of_its_own_is_proved(
    tmp_path: Path, kinds: ModuleType, name: str
) -> None:
    model = getattr(kinds, name)(tmp_path)
    assert prove(model).reason is None
    assert_rows_are_apart(model)


def test_a_model_of_int8_with_scales_of_what_is_sent_is_refused(
    tmp_path: Path, kinds: ModuleType
) -> None:
    reason = prove(kinds.dynamic(tmp_path)).reason
    assert reason is not None
    assert "(DynamicQuantizeLinear): it computes one scale over all rows" in reason


def test_the_model_of_the_demo_is_proved() -> None:
    assert prove(onnx.load("slipstream/demo/iris.onnx")).reason is None
