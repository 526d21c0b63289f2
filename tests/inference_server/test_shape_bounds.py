"""Which models have runs that the shapes of their inputs bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import pytest
from onnx import helper

from inference_server.runtime.shape_bounds import bounded_by_shapes
from model_store.folder_store import FolderStore
from tests import onnx_models
from tests.inference_server.conftest import Publish


@pytest.mark.parametrize(
    ("build", "bounded"),
    [
        (onnx_models.mlp, True),
        (onnx_models.mixed, True),
        (onnx_models.picky, True),
        (partial(onnx_models.slow_to_run, seconds=0.01), True),
        (onnx_models.loop, False),
        (partial(onnx_models.loop, trips=3), False),
        (onnx_models.fill, False),
        (onnx_models.one_long_operator, False),
    ],
)
def test_models(tmp_path: Path, build: Callable[[Path], Path], bounded: bool) -> None:
    model = onnx.load(build(tmp_path / "model.onnx"))
    assert bounded_by_shapes(model) is bounded


def test_a_size_computed_from_a_shape_is_bounded_and_one_from_values_is_not() -> None:
    shape = helper.make_node("Shape", ["x"], ["sizes"])
    cast = helper.make_node("Cast", ["x"], ["sizes"], to=onnx.TensorProto.INT64)
    expand = helper.make_node("Expand", ["one", "sizes"], ["y"])
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    one = [helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0])]

    def bounded(first: onnx.NodeProto) -> bool:
        graph = helper.make_graph([first, expand], "graph", inputs, outputs, one)
        return bounded_by_shapes(helper.make_model(graph))

    assert bounded(shape)
    assert not bounded(cast)


def test_a_function_of_the_model_itself_is_not_looked_into(tmp_path: Path) -> None:
    model = onnx.load(onnx_models.mlp(tmp_path / "model.onnx"))
    model.functions.add(name="anything", domain="com.example")
    assert not bounded_by_shapes(model)


def test_publication_records_it(publish: Publish) -> None:
    for name, bounded in (("mlp", True), ("loop", False)):
        assert FolderStore(publish(name)).manifest(name, 1).bounded_by_shapes is bounded
