"""The ONNX models that are served, each with an input and the output that ONNX Runtime gives."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when ONNX Runtime is imported, which apps do

PICTURE = (1, 3, 224, 224)
INPUT, OUTPUT = "x", "y"

_SAMPLE_LAYERS, _SAMPLE_RUNS = 24, 30
_CHANNELS, _SIDE = 32, 32


class WrongAnswerError(Exception):
    """A server's answer differs from ONNX Runtime's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A model file with one input `x` and one output `y`."""

    path: Path
    inputs: np.ndarray
    expected: np.ndarray

    def check(self, answer: Any) -> None:
        """Raise WrongAnswerError unless `answer`, an array or nested lists, is the output."""
        found = np.asarray(answer, np.float32).ravel()
        expected = self.expected.ravel()
        if found.size != expected.size or not np.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise WrongAnswerError(f"expected {expected[:5]}, got {found[:5]}")


def tiny_model(folder: Path) -> OnnxModel:
    """Write an MLP, FP32 [N, 4] → [N, 3]: so small that the server around it is measured."""
    random = np.random.default_rng(2)
    shapes = {"w1": (4, 16), "b1": (16,), "w2": (16, 3), "b2": (3,)}
    weights = {n: (random.normal(size=s) / 2).astype(np.float32) for n, s in shapes.items()}
    nodes = [
        helper.make_node("Gemm", [INPUT, "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [OUTPUT], axis=-1),
    ]
    path = _save(folder / "tiny.onnx", nodes, weights, ["N", 4], ["N", 3])
    return _with_output(path, np.array([[5.1, 3.5, 1.4, 0.2]], np.float32))


def slow_model(folder: Path, milliseconds: float) -> OnnxModel:
    """Write convolutions, FP32 [N, 16] → [N, 3], that take about so long here on one thread.

    Convolutions rather than MatMuls: a MatMul's row costs what reading the weights costs, so that
    a batch is nearly free. Here 16 rows cost 16 times as much as one. The weights are constant, the
    number of layers depends on the machine.
    """
    row = np.arange(16, dtype=np.float32)[None] / 10
    path = folder / "slow.onnx"
    per_layer = run_milliseconds(_write_layers(path, _SAMPLE_LAYERS), row) / _SAMPLE_LAYERS
    return _with_output(_write_layers(path, max(1, round(milliseconds / per_layer))), row)


def run_milliseconds(path: Path, inputs: np.ndarray) -> float:
    """Return the median time of a run in this process, on one thread."""
    from benchmarks.apps.session import OnnxSession

    session = OnnxSession(str(path))
    took = []
    for _ in range(_SAMPLE_RUNS):
        started = time.perf_counter()
        session.run(inputs)
        took.append(time.perf_counter() - started)
    return median(took) * 1e3


def mean_model(folder: Path) -> OnnxModel:
    """Write the mean of each colour, FP32 [1, 3, 224, 224] → [1, 3]: a large input, no work."""
    node = helper.make_node("ReduceMean", [INPUT], [OUTPUT], axes=[2, 3], keepdims=0)
    path = _save(folder / "mean.onnx", [node], {}, PICTURE, [1, 3])
    return _with_output(path, _picture())


def resnet18(folder: Path) -> OnnxModel:
    """Write a network with ResNet-18's layers, FP32 [1, 3, 224, 224] → [1, 1000].

    Its weights are random; batch normalisation is part of the convolutions, as ONNX Runtime would
    fuse it.
    """
    net = _NetworkBuilder()
    top = net.convolution(INPUT, 3, 64, size=7, stride=2)
    top = net.add("MaxPool", [top], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = 64
    for channels in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if channels != 64 and block == 0 else 1
            top = net.residual_block(top, inputs, channels, stride)
            inputs = channels
    top = net.add("Flatten", [net.add("GlobalAveragePool", [top])])
    weight = net.weight((inputs, 1000), inputs)
    net.nodes.append(helper.make_node("MatMul", [top, weight], [OUTPUT]))
    path = _save(folder / "resnet18.onnx", net.nodes, net.weights, PICTURE, [1, 1000])
    return _with_output(path, _picture())


class _NetworkBuilder:
    """Nodes and weights, each named by its number."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(4)

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return its output. Any: onnx takes attributes of many types."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weight(self, shape: tuple[int, ...], inputs: int) -> str:
        """Add a weight scaled by the number of inputs; return its name."""
        name = f"w{len(self.weights)}"
        numbers = self._random.normal(size=shape) * np.sqrt(1 / inputs)
        self.weights[name] = numbers.astype(np.float32)
        return name

    def convolution(
        self, top: str, inputs: int, channels: int, *, size: int, stride: int, relu: bool = True
    ) -> str:
        """Add a convolution with its bias; return its output."""
        weight = self.weight((channels, inputs, size, size), inputs * size * size)
        bias = self.weight((channels,), channels)
        pads = [size // 2] * 4
        output = self.add("Conv", [top, weight, bias], strides=[stride, stride], pads=pads)
        return self.add("Relu", [output]) if relu else output

    def residual_block(self, top: str, inputs: int, channels: int, stride: int) -> str:
        """Add two convolutions with a shortcut; return the output."""
        inner = self.convolution(top, inputs, channels, size=3, stride=stride)
        inner = self.convolution(inner, channels, channels, size=3, stride=1, relu=False)
        if inputs != channels:
            top = self.convolution(top, inputs, channels, size=1, stride=stride, relu=False)
        return self.add("Relu", [self.add("Add", [inner, top])])


def _picture() -> np.ndarray:
    """Return 150,528 numbers from 0 to 1 with eight decimals."""
    return np.random.default_rng(3).random(PICTURE).round(8).astype(np.float32)


def _write_layers(path: Path, count: int) -> Path:
    random = np.random.default_rng(5)

    def weight(*shape: int, inputs: int) -> np.ndarray:
        return (random.normal(size=shape) * np.sqrt(2 / inputs)).astype(np.float32)

    weights = {
        "spread": weight(16, _CHANNELS * _SIDE * _SIDE, inputs=16),
        "picture": np.array([-1, _CHANNELS, _SIDE, _SIDE]),
        "last": weight(_CHANNELS, 3, inputs=_CHANNELS),
    }
    nodes = [
        helper.make_node("MatMul", [INPUT, "spread"], ["spread out"]),
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
        helper.make_node("Softmax", ["logits"], [OUTPUT], axis=-1),
    ]
    return _save(path, nodes, weights, ["N", 16], ["N", 3])


def _save(
    path: Path, nodes: list[NodeProto], weights: dict[str, np.ndarray], inputs: Any, outputs: Any
) -> Path:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(proto)
    save(proto, path)
    return path


def _with_output(path: Path, inputs: np.ndarray) -> OnnxModel:
    from benchmarks.apps.session import OnnxSession

    return OnnxModel(path=path, inputs=inputs, expected=OnnxSession(str(path)).run(inputs))
