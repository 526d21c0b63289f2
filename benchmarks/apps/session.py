"""ONNX Runtime as every in-process server uses it: one thread."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort


class OnnxSession:
    """A loaded model with one input and one output."""

    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        first = self._session.get_inputs()[0]
        self.input = first.name
        self.shape = [size if isinstance(size, int) else -1 for size in first.shape]
        """Of the input; -1 for a size that is free."""
        self.output = self._session.get_outputs()[0].name

    def run(self, rows: Any) -> np.ndarray:  # Any: nested lists or an array
        """Return the output, FP32 [N, 3]."""
        array = np.asarray(rows, dtype=np.float32)
        result: np.ndarray = self._session.run(None, {self.input: array})[0]
        return result


def open_session() -> OnnxSession:
    """Return a session of the model under test."""
    return OnnxSession(os.environ["BENCH_MODEL"])


def ports() -> list[int]:
    """Return three free ports; the server is called at the first."""
    return [int(port) for port in os.environ["BENCH_PORTS"].split(",")]
