"""ONNX Runtime as all in-process servers here use it: one thread, no telemetry."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort


class Session:
    """A loaded model with one input and one output."""

    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self._session.get_inputs()[0].name
        self.output = self._session.get_outputs()[0].name

    def run(self, rows: Any) -> np.ndarray:  # Any: nested lists or an array
        """Return the output, FP32 [N, 3], for rows [N, 4]."""
        array = np.asarray(rows, dtype=np.float32)
        result: np.ndarray = self._session.run(None, {self.input: array})[0]
        return result


def open_session() -> Session:
    """Return a session of the model that the benchmark has named."""
    return Session(os.environ["BENCH_MODEL"])


def ports() -> list[int]:
    """Return the three free ports that the benchmark has chosen; the first is the one called."""
    return [int(port) for port in os.environ["BENCH_PORTS"].split(",")]
