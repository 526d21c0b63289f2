"""Trains the demo model: which of three irises has these four measurements?

Writes `slipstream/demo/iris.onnx`, the same bytes for the same versions of the libraries:

    uv run --group examples examples/iris/train.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = Path(__file__).parents[2] / "slipstream" / "demo" / "iris.onnx"


def main() -> None:
    """Train, convert, compare the two, and write the model."""
    measurements, species = load_iris(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(measurements, species)
    model = to_onnx(classifier)
    labels, probabilities = run(model, measurements)
    np.testing.assert_array_equal(labels, classifier.predict(measurements))
    np.testing.assert_allclose(probabilities, classifier.predict_proba(measurements), atol=1e-5)
    MODEL.write_bytes(model)
    print(f"{MODEL}: {len(model)} bytes, right for {np.mean(labels == species):.1%} of the flowers")


def to_onnx(classifier: Pipeline) -> bytes:
    """Return the model: `x` FP32 [N, 4] → `label` INT64 [N], `probabilities` FP32 [N, 3]."""
    model = convert_sklearn(
        classifier,
        name="iris",
        initial_types=[("x", FloatTensorType([None, 4]))],
        final_types=[
            ("label", Int64TensorType([None])),
            ("probabilities", FloatTensorType([None, 3])),
        ],
        # Without this the probabilities are a list of dictionaries, which no tensor protocol takes.
        options={"zipmap": False},
    )
    return bytes(model.SerializeToString())


def run(model: bytes, measurements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what ONNX Runtime says: the labels and the probabilities."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"x": measurements.astype(np.float32)})
    return labels, probabilities


if __name__ == "__main__":
    main()
