"""Which models as people have them are proved, and that their rows are apart when they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto

from inference_server.runtime.rows.proof import prove
from tests.inference_server.rows import kinds

PROVED: tuple[Callable[[], ModelProto], ...] = (
    kinds.linear,
    kinds.logistic,
    kinds.tree,
    kinds.forest,
    kinds.boosting,
    kinds.support_vectors,
    kinds.texts,
    kinds.convolutional,
    kinds.transformer,
    kinds.masked_by_pairs,
    kinds.masked_by_list,
    kinds.recurrent,
)
SIZES = {"steps": 5}


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


@pytest.mark.parametrize("build", PROVED, ids=lambda build: build.__name__)
def test_it_is_proved(build: Callable[[], ModelProto]) -> None:
    model = build()
    assert prove(model).reason is None
    assert_rows_are_apart(model)


@pytest.mark.parametrize(
    "build", [kinds.static_qdq, kinds.static_operators], ids=lambda build: build.__name__
)
def test_a_model_of_int8_with_scales_of_its_own_is_proved(
    tmp_path: Path, build: Callable[[Path], ModelProto]
) -> None:
    model = build(tmp_path)
    assert prove(model).reason is None
    assert_rows_are_apart(model)


def test_a_model_of_int8_with_scales_of_what_is_sent_is_refused(tmp_path: Path) -> None:
    reason = prove(kinds.dynamic(tmp_path)).reason
    assert reason is not None
    assert "(DynamicQuantizeLinear): it computes one scale over all rows" in reason


def test_the_model_of_the_demo_is_proved() -> None:
    assert prove(onnx.load("slipstream/demo/iris.onnx")).reason is None
