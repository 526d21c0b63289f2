"""An inference that would never end costs its own caller a deadline, and others nothing."""

from __future__ import annotations

import grpc
import httpx
import numpy as np
import pytest

from tests import onnx_models
from tests.inference_server.requests import infer_request
from tests.stub import InferenceStub
from tests.system.installation import Installation, chain
from tests.timing import eventually

_ENDLESS = 10**15
_SOON_SECONDS = 20.0
"""Much longer than a call takes, and much shorter than the default deadline of a deployment."""


@pytest.fixture(scope="module")
def counting(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve and deploy a model that adds 1 as often as its caller says."""
    path = onnx_models.loop(tmp_path_factory.mktemp("loop") / "loop.onnx")
    installation.add_model("counting", path)
    installation.serve("counting")
    return installation.deploy(chain("counting"))


def count(
    installation: Installation, deployment: str, trips: int, **arguments: object
) -> httpx.Response:
    body = {"input_data": {"x": [0.5], "trips": trips}}
    return installation.trigger(deployment, json=body, **arguments)


def assert_counts(installation: Installation, deployment: str) -> None:
    answer = count(installation, deployment, 3, timeout=_SOON_SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["output_data"]["y"] == [3.5]


def test_a_run_ends_at_the_deadline_of_its_call(installation: Installation, counting: str) -> None:
    assert_counts(installation, counting)
    before = installation.up.servers("counting 1")
    late = count(installation, counting, _ENDLESS, headers={"X-Request-Timeout": "1"})
    assert late.status_code == 504
    assert late.json()["code"] == "deadline_exceeded"
    assert_counts(installation, counting)
    assert installation.up.servers("counting 1") == before


def test_a_run_ends_when_its_client_hangs_up(installation: Installation, counting: str) -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [0.5]},
        {"name": "trips", "datatype": "INT64", "shape": [], "data": [_ENDLESS]},
    ]
    calls = {
        f"/node/deployment-trigger/{counting}/": {"input_data": {"x": [0.5], "trips": _ENDLESS}},
        "/v2/models/counting/infer": {"inputs": inputs},
    }
    headers = {"X-API-Key": installation.key}
    for path, body in calls.items():
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{installation.up.url}{path}", json=body, headers=headers, timeout=0.5)
        assert_counts(installation, counting)


def test_a_run_ends_when_its_grpc_call_is_cancelled(
    installation: Installation, counting: str
) -> None:
    tensors = {"x": ("FP32", np.zeros(1, "f4")), "trips": ("INT64", np.array(_ENDLESS))}
    with grpc.insecure_channel(f"127.0.0.1:{installation.up.grpc_port}") as channel:
        call = InferenceStub(channel).ModelInfer.future(
            infer_request("counting", tensors), metadata=[("x-api-key", installation.key)]
        )
        hurried = {"X-Request-Timeout": "0.3"}
        while count(installation, counting, 3, headers=hurried).status_code == 200:
            pass  # it does not run yet
        call.cancel()
        assert_counts(installation, counting)


def test_a_run_ends_when_it_is_cancelled(installation: Installation, counting: str) -> None:
    deployment = installation.deploy(
        chain("counting"), execution_mode="async", deployment_type="server"
    )
    run_id = count(installation, deployment, _ENDLESS).json()["flow_run_id"]
    url = f"/node/flow-runs/{run_id}/"
    eventually(lambda: installation.http.get(url).json()["status"], lambda now: now == "running")
    assert installation.http.post(f"/node/flow-runs/{run_id}/cancel/").is_success
    assert_counts(installation, counting)
