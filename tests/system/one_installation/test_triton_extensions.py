"""Triton's protocol extensions at the gateway, called with Triton's clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException

from tests.system.installation import Installation

INPUT = {"name": "x", "data_type": "TYPE_FP32", "dims": [4], "optional": False}
OUTPUT = {"name": "y", "data_type": "TYPE_FP32", "dims": [3]}
EXTENSIONS = ["model_configuration", "binary_tensor_data", "parameters", "statistics"]
STATISTICS = {
    *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
    *("cache_hit", "cache_miss"),
}


def rest(installation: Installation) -> triton_http.InferenceServerClient:
    """Return the blocking HTTP client."""
    return triton_http.InferenceServerClient(f"127.0.0.1:{installation.up.port}")


def grpc_client_of(address: str) -> triton_grpc.InferenceServerClient:
    """Return the blocking gRPC client."""
    return triton_grpc.InferenceServerClient(address)


def headers(installation: Installation) -> dict[str, str]:
    """Return the headers of every call."""
    return {"x-api-key": installation.key}


def call(client: Any, module: Any, installation: Installation, rows: int = 1) -> None:
    """Call `mlp`."""
    tensor = module.InferInput("x", [rows, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((rows, 4), np.float32))
    client.infer("mlp", [tensor], headers=headers(installation))


def test_the_http_client_reads_a_model_configuration(installation: Installation) -> None:
    with rest(installation) as client:
        for version in ("", "1"):
            config = client.get_model_config("mlp", version, headers=headers(installation))
            assert config.pop("max_batch_size") > 1
            assert config == {
                "name": "mlp",
                "platform": "onnxruntime_onnx",
                "backend": "onnxruntime",
                "version_policy": {"specific": {"versions": [1]}},
                "input": [INPUT],
                "output": [OUTPUT],
                "dynamic_batching": {},
            }


def test_the_http_client_reads_model_statistics(installation: Installation) -> None:
    key = headers(installation)
    with rest(installation) as client:
        (before,) = client.get_inference_statistics("mlp", headers=key)["model_stats"]
        for rows in (1, 3):
            call(client, triton_http, installation, rows)
        (after,) = client.get_inference_statistics("mlp", "1", headers=key)["model_stats"]
    assert (after["name"], after["version"]) == ("mlp", "1")
    assert after["inference_stats"].keys() == STATISTICS
    grown = {
        name: after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"]
        for name in STATISTICS
    }
    assert grown["success"] == grown["queue"] == grown["compute_infer"] == 2
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["inference_stats"]["compute_infer"]["ns"] > 0
    assert {part["batch_size"] for part in after["batch_stats"]} >= {1, 3}
    assert after["last_inference"] > before["last_inference"]


def test_statistics_without_a_name_cover_all_models(
    installation: Installation, grpc_address: str
) -> None:
    key = headers(installation)
    with rest(installation) as client, grpc_client_of(grpc_address) as grpc_client:
        over_http = client.get_inference_statistics(headers=key)["model_stats"]
        over_grpc = grpc_client.get_inference_statistics(headers=key).model_stats
    names = {each["name"] for each in over_http}
    assert names >= {"mlp", "mixed", "iris"}
    assert {each.name for each in over_grpc} == names


def test_the_http_client_reads_the_index(installation: Installation) -> None:
    with rest(installation) as client:
        index = client.get_model_repository_index(headers=headers(installation))
    assert {"name": "mlp", "version": "1", "state": "READY", "reason": ""} in index
    only = installation.post("/v2/repository/index", {"ready": True})
    assert only == [model for model in index if model["state"] == "READY"]


def test_a_stopped_model_stays_in_the_index(installation: Installation, grpc_address: str) -> None:
    servers = installation.http.get("/node/inference-servers/").json()["items"]
    (server,) = [each for each in servers if each["model"] == "nan"]
    installation.post(f"/node/inference-servers/{server['id']}/stop/", {})
    try:
        with grpc_client_of(grpc_address) as client:
            reason = ""
            while reason != "stopped":
                index = client.get_model_repository_index(headers=headers(installation))
                (model,) = [each for each in index.models if each.name == "nan"]
                reason = model.reason
        assert (model.version, model.state) == ("1", "UNAVAILABLE")
    finally:
        installation.post(f"/node/inference-servers/{server['id']}/start/", {})
        installation.until_ready(server["id"])


def test_the_grpc_client_reads_configuration_statistics_and_index(
    installation: Installation, grpc_address: str
) -> None:
    key = headers(installation)
    with grpc_client_of(grpc_address) as client:
        assert list(client.get_server_metadata(headers=key).extensions) == EXTENSIONS
        config = client.get_model_config("mlp", headers=key).config
        assert config.max_batch_size > 1
        assert [(each.name, list(each.dims)) for each in config.input] == [("x", [4])]
        (before,) = client.get_inference_statistics("mlp", headers=key).model_stats
        call(client, triton_grpc, installation, rows=2)
        (after,) = client.get_inference_statistics("mlp", headers=key).model_stats
        assert after.inference_count - before.inference_count == 2
        index = client.get_model_repository_index(headers=key).models
        assert ("mlp", "1", "READY") in [(each.name, each.version, each.state) for each in index]


async def test_the_asyncio_clients_read_configuration_statistics_and_index(
    installation: Installation, grpc_address: str
) -> None:
    key = headers(installation)
    address = f"127.0.0.1:{installation.up.port}"
    async with triton_http_aio.InferenceServerClient(address) as http:
        assert (await http.get_server_metadata(headers=key))["extensions"] == EXTENSIONS
        assert (await http.get_model_config("mixed", headers=key))["max_batch_size"] == 0
        (counted,) = (await http.get_inference_statistics("mixed", headers=key))["model_stats"]
        assert counted["version"] == "1"
        index = await http.get_model_repository_index(headers=key)
    async with triton_grpc_aio.InferenceServerClient(grpc_address) as grpc_client:
        config = await grpc_client.get_model_config("mixed", headers=key)
        assert [list(each.dims) for each in config.config.input] == [[-1, 2], [-1], [-1]]
        statistics = await grpc_client.get_inference_statistics("mixed", headers=key)
        assert statistics.model_stats[0].name == "mixed"
        models = (await grpc_client.get_model_repository_index(headers=key)).models
    assert {each["name"] for each in index} == {each.name for each in models}


def test_an_unknown_model_is_not_found(installation: Installation, grpc_address: str) -> None:
    key = headers(installation)
    with rest(installation) as client, grpc_client_of(grpc_address) as grpc_client:
        for ask in ("get_model_config", "get_inference_statistics"):
            for name, version in (("unknown", ""), ("mlp", "7")):
                with pytest.raises(InferenceServerException, match="no inference server") as http:
                    getattr(client, ask)(name, version, headers=key)
                assert http.value.status() == "404"
                with pytest.raises(InferenceServerException, match="no inference server") as grpc:
                    getattr(grpc_client, ask)(name, version, headers=key)
                assert grpc.value.status() == "StatusCode.NOT_FOUND"


def test_extensions_require_a_key(installation: Installation, grpc_address: str) -> None:
    with rest(installation) as client, grpc_client_of(grpc_address) as grpc_client:
        for ask, arguments in (
            ("get_model_config", ["mlp"]),
            ("get_inference_statistics", ["mlp"]),
            ("get_inference_statistics", []),
            ("get_model_repository_index", []),
        ):
            with pytest.raises(InferenceServerException, match="X-API-Key"):
                getattr(client, ask)(*arguments)
            with pytest.raises(InferenceServerException, match="X-API-Key") as refused:
                getattr(grpc_client, ask)(*arguments)
            assert refused.value.status() == "StatusCode.UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/models/mlp/config", None, 405),
        ("POST", "/v2/models/mlp/stats", None, 405),
        ("GET", "/v2/models/mlp/versions/x/stats", None, 400),
        ("GET", "/v2/repository/index", None, 405),
        ("POST", "/v2/repository/index", "[]", 400),
        ("POST", "/v2/repository/index", "{", 400),
        ("POST", "/v2/repository/index", '{"ready": 1}', 400),
        ("POST", "/v2/repository/other/index", None, 501),
    ],
)
def test_invalid_requests_get_errors_in_protocol_format(
    installation: Installation, method: str, path: str, body: str | None, status: int
) -> None:
    answer = installation.http.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
