"""`/v2` over plain HTTP: JSON of every datatype, errors in protocol format, optional keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton_grpc

from tests import onnx_models
from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation

VALUES = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "INT8": [-128, 127],
    "INT64": [-(2**63), 2**63 - 1],
    "UINT64": [0, 2**64 - 1],
    "FP16": [0.5, -2.0],
    "BF16": [0.5, -2.0],
    "FP32": [0.5, -2.0],
    "FP64": [0.1, -2.5e300],
    "BYTES": ["grün", ""],
}


@pytest.fixture(scope="module")
def every_datatype(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Serve one model with an input of each datatype; return the datatypes."""
    datatypes = [name for name in VALUES if name != "BF16"]
    folder = tmp_path_factory.mktemp("datatypes")
    path = onnx_models.identities(folder / "all.onnx", datatypes, shape=("N",))
    installation.add_model("all", path)
    installation.serve("all")
    bfloat = onnx_models.identity(folder / "bfloat.onnx", "BF16", shape=("N",))
    installation.add_model("bfloat", bfloat)
    installation.serve("bfloat")
    return datatypes


def test_every_datatype_is_plain_json(
    installation: Installation, every_datatype: list[str]
) -> None:
    for model, datatypes in (("all", every_datatype), ("bfloat", ["BF16"])):
        metadata = installation.http.get(f"/v2/models/{model}").json()
        assert [tensor["datatype"] for tensor in metadata["inputs"]] == datatypes
        inputs = [
            {**tensor, "shape": [2], "data": VALUES[tensor["datatype"]]}
            for tensor in metadata["inputs"]
        ]
        answer = installation.http.post(f"/v2/models/{model}/infer", json={"inputs": inputs})
        assert answer.is_success, answer.text
        got = {output["datatype"]: output["data"] for output in answer.json()["outputs"]}
        assert got == {datatype: VALUES[datatype] for datatype in datatypes}


def test_nan_is_a_string_in_json(installation: Installation) -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [2], "data": [-1, 1]}]
    answer = installation.http.post("/v2/models/nan/infer", json={"inputs": inputs})
    logarithm, reciprocal = answer.json()["outputs"]
    assert logarithm["data"] == ["NaN", 0.0]
    assert reciprocal["data"] == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/unknown", 404),
        ("GET", "/v2/models/unknown/ready", 404),
        ("GET", "/v2/models/mlp/versions/7/ready", 404),
        ("GET", "/v2/models/mlp/versions/x/ready", 400),
        ("POST", "/v2/models/unknown/infer", 400),
        ("GET", "/v2/models/mlp/infer", 405),
        ("GET", "/v2/models/mlp/versions/7", 404),
        ("GET", "/v2/models/mlp/versions/x", 400),
        ("DELETE", "/v2", 405),
    ],
)
def test_errors_have_the_format_of_the_protocol(
    installation: Installation, method: str, path: str, status: int
) -> None:
    answer = installation.http.request(method, path)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]


@pytest.fixture
def anonymous(tmp_path: Path) -> Iterator[Up]:
    """Start an installation whose `/v2` needs no key."""
    up = Up(tmp_path / "state", *NO_WORKER, SLIPSTREAM_ANONYMOUS_V2="1")
    up.until("documentation")
    yield up
    assert up.stop() == 0


@pytest.mark.long
def test_v2_can_be_opened_to_clients_without_a_key(anonymous: Up) -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]
    url = f"{anonymous.url}/v2/models/iris/infer"
    assert httpx.post(url, json={"inputs": inputs}).is_success
    assert httpx.post(url, json={"inputs": inputs}, headers={"X-API-Key": "no"}).status_code == 401
    assert httpx.get(f"{anonymous.url}/node/flows/").status_code == 401
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{anonymous.grpc_port}") as client:
        assert client.get_model_metadata("iris").name == "iris"
    assert "WITHOUT A KEY" in anonymous.errors


@pytest.mark.long
def test_v2_is_never_opened_to_other_machines(tmp_path: Path) -> None:
    exposed = ("--host", "0.0.0.0", "--insecure")
    up = Up(tmp_path / "state", *exposed, *NO_WORKER, SLIPSTREAM_ANONYMOUS_V2="1")
    assert up.ended() != 0
    assert "loopback only" in "".join(up.output) + Path(tmp_path / "state.stderr").read_text()
