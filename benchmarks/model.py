"""The model that everybody serves: so small that what is measured is the server around it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

Rows = list[list[float]]

_ROW: Rows = [[5.1, 3.5, 1.4, 0.2]]
_SIZES = (4, 16, 3)
_TOLERANCE = 1e-4


class WrongAnswerError(Exception):
    """A server answered, and not with what ONNX Runtime computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file, one input for it, and what ONNX Runtime itself makes of that input."""

    path: Path
    rows: Rows
    expected: Rows

    def check(self, answer: object) -> None:
        """Raise WrongAnswerError unless `answer` is the expected output, N rows of 3."""
        if not _same(answer, self.expected):
            raise WrongAnswerError(f"expected {self.expected}, got {str(answer)[:300]}")


def tiny_model(folder: Path) -> Model:
    """Write an MLP, `x` FP32 [N, 4] → `y` FP32 [N, 3], to `folder`, and run it once."""
    path = folder / "tiny.onnx"
    inputs, hidden, outputs = _SIZES
    random = np.random.default_rng(2)
    shapes = {"w1": (inputs, hidden), "b1": (hidden,), "w2": (hidden, outputs), "b2": (outputs,)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])],
        [
            numpy_helper.from_array((random.normal(size=shape) / 2).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(proto)
    save(proto, path)
    return Model(path=path, rows=_ROW, expected=_run(path, _ROW))


def _run(path: Path, rows: Rows) -> Rows:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from benchmarks.apps.session import Session

    outputs: Rows = Session(str(path)).run(rows).tolist()
    return outputs


def _same(answer: object, expected: object) -> bool:
    if isinstance(expected, float):
        number = isinstance(answer, int | float)
        return number and math.isclose(answer, expected, rel_tol=_TOLERANCE, abs_tol=1e-6)  # type: ignore[arg-type]
    if not isinstance(answer, Sequence) or not isinstance(expected, Sequence):
        return False
    if len(answer) != len(expected):
        return False
    return all(_same(one, other) for one, other in zip(answer, expected, strict=True))
