"""Models over a picture, FP32 [1, 3, 224, 224]: one that costs nothing, one like ResNet-18."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save

SHAPE = (1, 3, 224, 224)
INPUT, OUTPUT = "x", "y"

_STAGES = (64, 128, 256, 512)
_BLOCKS = 2
_CLASSES = 1_000


def picture() -> np.ndarray:
    """Return the picture that is asked about: 150,528 numbers from 0 to 1 with eight decimals."""
    numbers = np.random.default_rng(3).random(SHAPE).round(8)
    return numbers.astype(np.float32)


def mean(path: Path) -> Path:
    """Write `y` FP32 [1, 3], the mean of each colour: the input is large, the work is none."""
    node = helper.make_node("ReduceMean", [INPUT], [OUTPUT], axes=[2, 3], keepdims=0)
    return _save(path, [node], {}, [1, SHAPE[1]])


def resnet18(path: Path) -> Path:
    """Write `y` FP32 [1, 1000] of a network with ResNet-18's layers, its weights by chance.

    Batch normalisation is part of the convolutions, as ONNX Runtime would make it.
    """
    net = _Net()
    top = net.conv(INPUT, SHAPE[1], _STAGES[0], size=7, stride=2)
    top = net.add("MaxPool", [top], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = _STAGES[0]
    for stage, channels in enumerate(_STAGES):
        for block in range(_BLOCKS):
            stride = 2 if stage and not block else 1
            top = net.block(top, inputs, channels, stride)
            inputs = channels
    top = net.add("Flatten", [net.add("GlobalAveragePool", [top])])
    weight = net.weight((inputs, _CLASSES), inputs)
    net.nodes.append(helper.make_node("MatMul", [top, weight], [OUTPUT]))
    return _save(path, net.nodes, net.weights, [1, _CLASSES])


class _Net:
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
        """Add a weight that keeps the size of what passes through; return its name."""
        name = f"w{len(self.weights)}"
        numbers = self._random.normal(size=shape) * np.sqrt(1 / inputs)
        self.weights[name] = numbers.astype(np.float32)
        return name

    def conv(
        self, top: str, inputs: int, channels: int, *, size: int, stride: int, relu: bool = True
    ) -> str:
        """Add a convolution with its bias; return its output."""
        weight = self.weight((channels, inputs, size, size), inputs * size * size)
        bias = self.weight((channels,), channels)
        pads = [size // 2] * 4
        output = self.add("Conv", [top, weight, bias], strides=[stride, stride], pads=pads)
        return self.add("Relu", [output]) if relu else output

    def block(self, top: str, inputs: int, channels: int, stride: int) -> str:
        """Add a residual block; return its output."""
        inner = self.conv(top, inputs, channels, size=3, stride=stride)
        inner = self.conv(inner, channels, channels, size=3, stride=1, relu=False)
        if inputs != channels:
            top = self.conv(top, inputs, channels, size=1, stride=stride, relu=False)
        return self.add("Relu", [self.add("Add", [inner, top])])


def _save(
    path: Path, nodes: list[NodeProto], weights: dict[str, np.ndarray], shape: list[int]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(proto)
    save(proto, path)
    return path
