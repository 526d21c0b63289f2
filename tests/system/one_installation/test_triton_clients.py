"""Stock tritonclient, HTTP and gRPC, blocking and asyncio, against the gateway."""

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

INPUTS: dict[str, np.ndarray] = {
    "number": np.array([[1.5, -2.25], [0, 4]], np.float32),
    "count": np.array([3, -(2**40)], np.int64),
    "text": np.array(["grün", ""], object),
}
DATATYPES = {"number": "FP32", "count": "INT64", "text": "BYTES"}
OUTPUTS = ("doubled", "next", "echo")


def tensors(module: Any, **options: object) -> list[Any]:
    """Return one client input per input of the model."""
    made = []
    for name, value in INPUTS.items():
        made.append(module.InferInput(name, value.shape, DATATYPES[name]))
        made[-1].set_data_from_numpy(value, **options)
    return made


def check(result: Any) -> None:
    """Assert that a response has the model's outputs."""
    np.testing.assert_array_equal(result.as_numpy("doubled"), INPUTS["number"] * 2)
    np.testing.assert_array_equal(result.as_numpy("next"), INPUTS["count"] + 1)
    echo = [item if isinstance(item, str) else item.decode() for item in result.as_numpy("echo")]
    assert echo == INPUTS["text"].tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_the_http_client_supports_all_its_calls(installation: Installation, binary: bool) -> None:
    headers = {"X-API-Key": installation.key}
    with triton_http.InferenceServerClient(f"127.0.0.1:{installation.up.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata(headers=headers)["name"] == "slipstream"
        assert client.is_model_ready("mixed", headers=headers)
        assert not client.is_model_ready("unknown", headers=headers)
        metadata = client.get_model_metadata("mixed", headers=headers)
        assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == DATATYPES
        assert metadata["inputs"][0]["shape"] == [-1, 2]
        inputs = tensors(triton_http, binary_data=binary)
        outputs = [triton_http.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
        for requested in (outputs, None):
            result = client.infer(
                "mixed", inputs, outputs=requested, request_id="7", headers=headers
            )
            assert result.get_response()["id"] == "7"
            check(result)
        with pytest.raises(InferenceServerException, match="unknown"):
            client.infer("unknown", inputs, headers=headers)
        with pytest.raises(InferenceServerException, match="X-API-Key"):
            client.infer("mixed", inputs)


async def test_the_asyncio_http_client_supports_all_its_calls(installation: Installation) -> None:
    headers = {"X-API-Key": installation.key}
    address = f"127.0.0.1:{installation.up.port}"
    async with triton_http_aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        metadata = await client.get_model_metadata("mixed", headers=headers)
        assert metadata["versions"] == ["1"]
        inputs = tensors(triton_http_aio)
        check(await client.infer("mixed", inputs, headers=headers))


def test_the_grpc_client_supports_all_calls(installation: Installation, grpc_address: str) -> None:
    headers = {"x-api-key": installation.key}
    with triton_grpc.InferenceServerClient(grpc_address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mixed", headers=headers)
        assert not client.is_model_ready("unknown", headers=headers)
        metadata = client.get_model_metadata("mixed", headers=headers, as_json=True)
        assert metadata["name"] == "mixed"
        inputs = tensors(triton_grpc)
        result = client.infer("mixed", inputs, request_id="7", headers=headers)
        assert result.get_response().id == "7"
        check(result)
        with pytest.raises(InferenceServerException, match="X-API-Key") as refused:
            client.infer("mixed", inputs)
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        with pytest.raises(InferenceServerException) as unknown:
            client.infer("unknown", inputs, headers=headers)
        assert unknown.value.status() == "StatusCode.NOT_FOUND"


async def test_the_asyncio_grpc_client_supports_calls_and_streams(
    installation: Installation, grpc_address: str
) -> None:
    headers = {"authorization": f"Bearer {installation.key}"}
    async with triton_grpc_aio.InferenceServerClient(grpc_address) as client:
        inputs = tensors(triton_grpc_aio)
        check(await client.infer("mixed", inputs, headers=headers))

        async def requests() -> Any:
            for number in range(20):
                name = "mixed" if number % 2 else "unknown"
                yield {"model_name": name, "inputs": inputs, "request_id": str(number)}

        answered: set[str] = set()
        failed = 0
        async for result, error in client.stream_infer(requests(), headers=headers):
            if error is not None:
                failed += 1
            else:
                answered.add(result.get_response().id)
                check(result)
        assert answered == {str(number) for number in range(1, 20, 2)}
        assert failed == 10
