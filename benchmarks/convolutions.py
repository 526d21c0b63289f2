"""A model that really computes: convolutions, as many as take the time that is asked for.

Convolutions and not a chain of MatMuls: a row of a MatMul costs what reading the weights costs, so
that a batch of 16 is nearly free. Here 16 rows cost 16 times as much as one, for everybody.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save

from benchmarks.apps.session import Session
from benchmarks.model import Model, Rows

_INPUTS, _CHANNELS, _SIDE, _OUTPUTS = 16, 32, 32, 3
_SAMPLE_LAYERS = 24
_SAMPLE_RUNS = 30
_ROW: Rows = [[round(0.1 * at, 1) for at in range(_INPUTS)]]


def convolutions(folder: Path, milliseconds: float) -> Model:
    """Write a model whose run takes about so long here, on one thread; one row in, one out.

    `x` FP32 [N, 16] → `y` FP32 [N, 3]. The weights are always the same, the number of layers
    depends on the machine.
    """
    path = folder / "convolutions.onnx"
    a_layer = run_milliseconds(_write(path, _SAMPLE_LAYERS)) / _SAMPLE_LAYERS
    _write(path, max(1, round(milliseconds / a_layer)))
    expected: Rows = Session(str(path)).run(_ROW).tolist()
    return Model(path=path, rows=_ROW, expected=expected)


def run_milliseconds(path: Path) -> float:
    """Return what one run takes on one thread, the median of several."""
    session = Session(str(path))
    took = []
    for _ in range(_SAMPLE_RUNS):
        began = time.perf_counter()
        session.run(_ROW)
        took.append(time.perf_counter() - began)
    return median(took) * 1e3


def _write(path: Path, layers: int) -> Path:
    nodes, weights = _layers(layers)
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", _INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", _OUTPUTS])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(proto)
    save(proto, path)
    return path


def _layers(count: int) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    random = np.random.default_rng(5)

    def weight(*shape: int, inputs: int) -> np.ndarray:
        scaled: np.ndarray = random.normal(size=shape) * np.sqrt(2 / inputs)
        return scaled.astype(np.float32)

    weights = {
        "spread": weight(_INPUTS, _CHANNELS * _SIDE * _SIDE, inputs=_INPUTS),
        "picture": np.array([-1, _CHANNELS, _SIDE, _SIDE]),
        "last": weight(_CHANNELS, _OUTPUTS, inputs=_CHANNELS),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "spread"], ["spread out"]),
        helper.make_node("Reshape", ["spread out", "picture"], ["r0"]),
    ]
    for at in range(count):
        weights[f"w{at}"] = weight(_CHANNELS, _CHANNELS, 3, 3, inputs=_CHANNELS * 9)
        nodes += [
            helper.make_node("Conv", [f"r{at}", f"w{at}"], [f"c{at}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{at}"], [f"r{at + 1}"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", [f"r{count}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    return nodes, weights
