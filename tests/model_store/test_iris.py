"""The committed demo model, and the script that makes it."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import onnxruntime as ort
import orjson

from inference_server.runtime.verify import inspect
from model_store.tensor_spec import TensorSpec

DEMO = files("slipstream").joinpath("demo")


def test_the_demo_model_has_the_signature_that_the_demo_flow_uses() -> None:
    with as_file(DEMO.joinpath("iris.onnx")) as model:
        found = inspect(model)
    assert found.inputs == (TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),)
    assert found.outputs == (
        TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),
    )


def test_the_demo_flow_has_a_flower_of_each_species() -> None:
    flow = orjson.loads(DEMO.joinpath("flow.json").read_bytes())
    flowers = flow["nodes"][0]["config"]["test_data"]["x"]
    session = ort.InferenceSession(
        DEMO.joinpath("iris.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    label, probabilities = session.run(None, {"x": np.array(flowers, "f4")})
    assert label.tolist() == [0, 1, 2]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
