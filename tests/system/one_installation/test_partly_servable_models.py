"""Models with outputs that are not tensors: what is served of them, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from tests import onnx_models
from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs, problem_of

ROWS = [[0.125, 0.75, 0.5], [0.25, 0.0625, 1]]
CLASSES = ("setosa", "versicolor", "virginica")
BY_CLASS = [dict(zip(CLASSES, row, strict=True)) for row in ROWS]


@pytest.fixture(scope="module")
def classifier(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """The installation, which serves `classifier`, as scikit-learn's exporter makes it."""
    path = tmp_path_factory.mktemp("models") / "classifier.onnx"
    installation.add_model("classifier", onnx_models.map_output(path, CLASSES))
    installation.serve("classifier")
    return installation


def upload(installation: Installation, name: str, model: Path) -> httpx.Response:
    """Upload a model."""
    return installation.http.post(
        "/node/models/",
        params={"name": name},
        content=model.read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )


@pytest.mark.parametrize("mode", ["sync", "async", "fast"])
def test_probabilities_have_their_classes_in_json(classifier: Installation, mode: str) -> None:
    runs = Runs(classifier)
    deployment = runs.deploy(chain("classifier"), mode, "server")
    if mode == "async":
        output = runs.until(runs.accept(deployment, {"x": ROWS}))["output_data"]
    else:
        answer = runs.call(deployment, {"x": ROWS})
        assert answer.status_code == 200, answer.text
        output = answer.json()["output_data"]
    assert output == {"best": [1, 2], "probabilities": BY_CLASS}


@pytest.mark.parametrize("mode", ["sync", "fast"])
def test_probabilities_may_be_nan(classifier: Installation, mode: str) -> None:
    runs = Runs(classifier)
    deployment = runs.deploy(chain("classifier"), mode, "server")
    answer = runs.call(deployment, {"x": [["NaN", 0.5, "-Infinity"]]})
    expected = {"setosa": "NaN", "versicolor": 0.5, "virginica": "-Infinity"}
    assert answer.json()["output_data"]["probabilities"] == [expected]


def test_expressions_find_a_class_by_its_name(classifier: Installation) -> None:
    runs = Runs(classifier)
    flow = chain("classifier", output={"fields": {"p": "model.probabilities[1].virginica"}})
    answer = runs.call(runs.deploy(flow, "sync", "server"), {"x": ROWS})
    assert answer.json()["output_data"] == {"p": 1}


def test_v2_has_a_tensor_and_the_classes_in_the_metadata(classifier: Installation) -> None:
    metadata = classifier.http.get("/v2/models/classifier").json()
    probabilities = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}
    assert probabilities in metadata["outputs"]
    classes = '{"probabilities":["setosa","versicolor","virginica"]}'
    assert metadata["properties"]["class_labels"] == classes
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": ROWS}
    answer = classifier.http.post("/v2/models/classifier/infer", json={"inputs": [tensor]})
    (output,) = (one for one in answer.json()["outputs"] if one["name"] == "probabilities")
    assert (output["datatype"], output["shape"]) == ("FP32", [2, 3])
    assert output["data"] == [number for row in ROWS for number in row]


def test_triton_clients_get_a_tensor(classifier: Installation) -> None:
    headers = {"x-api-key": classifier.key}
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{classifier.up.grpc_port}")
    given = triton_grpc.InferInput("x", [2, 3], "FP32")
    given.set_data_from_numpy(np.array(ROWS, np.float32))
    result = client.infer("classifier", [given], headers=headers)
    assert result.as_numpy("probabilities").tolist() == ROWS
    client.close()


def test_an_upload_says_what_is_not_served(installation: Installation, tmp_path: Path) -> None:
    model = onnx_models.float8_output(tmp_path / "partly.onnx", alone=False)
    answer = upload(installation, "partly", model)
    assert answer.status_code == 201, answer.text
    (warning,) = answer.json()["warnings"]
    assert warning["code"] == "unsupported_output"
    assert (warning["name"], warning["type"]) == ("small", "tensor(float8e4m3fn)")
    assert "output 'small' is not served: expected a tensor" in warning["message"]
    shown = installation.http.get("/node/models/partly/versions/1/").json()
    assert shown == answer.json()
    installation.serve("partly")
    output = Runs(installation).call(installation.deploy(chain("partly")), {"x": [1.5]})
    assert output.json()["output_data"] == {"y": [1.5]}
    fine = upload(installation, "fine", onnx_models.identity(tmp_path / "fine.onnx"))
    assert fine.json()["warnings"] == []


UNSERVABLE = {
    "an output that is no tensor": (
        lambda path: onnx_models.float8_output(path, alone=True),
        "outputs: expected at least one tensor, got 'small' of type tensor(float8e4m3fn)",
    ),
    "an input that is no tensor": (
        onnx_models.sequence_input,
        "input 'x': expected a tensor, got seq(tensor(float))",
    ),
}


@pytest.mark.parametrize("kind", UNSERVABLE)
def test_a_model_with_nothing_to_serve_is_refused(
    installation: Installation, tmp_path: Path, kind: str
) -> None:
    build, message = UNSERVABLE[kind]
    problem = problem_of(
        upload(installation, "unservable", build(tmp_path / "m.onnx")), 422, "invalid_model"
    )
    assert message in problem["message"]
    assert installation.http.get("/node/models/unservable/").status_code == 404


def test_the_command_line_says_what_is_not_served(
    installation: Installation, tmp_path: Path
) -> None:
    model = onnx_models.float8_output(tmp_path / "warned.onnx", alone=False)
    added: Json = installation.command("models", "add", str(model), "--name", "warned")
    assert [warning["name"] for warning in added["warnings"]] == ["small"]
