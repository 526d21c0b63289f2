"""Image-sized inputs over every API: values are preserved, ragged arrays are refused."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest
import tritonclient.grpc as triton_grpc

from tests import onnx_models
from tests.system.installation import Installation, chain

SHAPE = (1, 3, 224, 224)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Return 600 KB of FP32 values with an exact JSON representation."""
    return np.random.default_rng(3).normal(size=SHAPE).astype("<f4")


@pytest.fixture(scope="module")
def served(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve and deploy a model that returns images unchanged; return the deployment's id."""
    folder: Path = tmp_path_factory.mktemp("images")
    path = onnx_models.identity(folder / "images.onnx", shape=("N", 3, 224, 224))
    installation.add_model("images", path)
    installation.serve("images")
    return installation.deploy(chain("images"))


def json_of(array: np.ndarray) -> bytes:
    """Return an array as nested lists."""
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)


def infer(installation: Installation, data: bytes, **tensor: object) -> httpx.Response:
    """Send one tensor as JSON; `data` is its elements."""
    described = {"name": "x", "datatype": "FP32", "shape": SHAPE, **tensor}
    body = b'{"inputs":[%b,"data":%b}]}' % (orjson.dumps(described)[:-1], data)
    return installation.http.post("/v2/models/images/infer", content=body)


def same(data: object, image: np.ndarray) -> None:
    """Assert that JSON's numbers are the image's."""
    np.testing.assert_array_equal(np.array(data, "<f4").reshape(SHAPE), image)


def test_a_trigger_accepts_and_returns_an_image(
    installation: Installation, served: str, image: np.ndarray
) -> None:
    body = b'{"input_data":{"x":%b}}' % json_of(image)
    answer = installation.trigger(served, content=body)
    assert answer.status_code == 200, answer.text[:300]
    assert "data" not in answer.json()
    same(answer.json()["output_data"]["y"], image)


@pytest.mark.parametrize("flat", [False, True])
def test_v2_accepts_and_returns_an_image_as_json(
    installation: Installation, served: str, image: np.ndarray, flat: bool
) -> None:
    answer = infer(installation, json_of(image.ravel() if flat else image))
    assert answer.is_success, answer.text[:300]
    same(answer.json()["outputs"][0]["data"], image)


def test_v2_accepts_and_returns_an_image_as_binary_data(
    installation: Installation, served: str, image: np.ndarray
) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": SHAPE}
    head = orjson.dumps(
        {
            "id": "mine",
            "inputs": [{**tensor, "parameters": {"binary_data_size": image.nbytes}}],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
    )
    answer = installation.http.post(
        "/v2/models/images/infer",
        content=head + image.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.is_success, answer.text[:300]
    length = int(answer.headers["inference-header-content-length"])
    header = orjson.loads(answer.content[:length])
    assert (header["id"], header["model_name"], header["model_version"]) == ("mine", "images", "1")
    assert answer.content[length:] == image.tobytes()


def test_grpc_accepts_and_returns_an_image(
    installation: Installation, served: str, image: np.ndarray
) -> None:
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        for number in range(4):  # the first call of a kind is parsed differently from later ones
            tensor = triton_grpc.InferInput("x", list(SHAPE), "FP32")
            tensor.set_data_from_numpy(image + number)
            answer = client.infer(
                "images", [tensor], request_id=str(number), headers={"x-api-key": installation.key}
            )
            np.testing.assert_array_equal(answer.as_numpy("y"), image + number)
            assert answer.get_response().id == str(number)


def test_a_large_input_of_the_wrong_shape_is_refused(
    installation: Installation, served: str, image: np.ndarray
) -> None:
    text = json_of(image)
    ragged = text.replace(b"[[[", b"[[[1,", 1)
    for wrong in (ragged, text.replace(b",", b",null,", 1), text.replace(b",", b",1e39,", 1)):
        answer = infer(installation, wrong)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert "tensor 'x'" in answer.json()["error"]
        answer = installation.trigger(served, content=b'{"input_data":{"x":%b}}' % wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_tensor")
    answer = infer(installation, text[:-1])
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]
    answer = installation.trigger(served, content=b'{"input_data":{"x":%b}' % text)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    answer = installation.trigger(served, content=b'{"input_data":%b}' % text)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["message"] == "input_data: expected an object, got an array"
