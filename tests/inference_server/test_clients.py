"""Stock clients work: tritonclient, grpc.health.v1, reflection, all in one Python process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
import tritonclient.grpc.aio as triton_aio  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess

NUMBER = np.array([[1, 2], [3, 4]], "f4")
COUNT = np.array([5, -6], "i8")
TEXT = np.array(["grün".encode(), b""], object)


@pytest.fixture
def server(shared_server: StartServer) -> InferenceProcess:
    """A server of a model with FP32, INT64 and BYTES."""
    return shared_server("mixed")


def inputs(module: object = triton) -> list[triton.InferInput]:
    """Return the tensors as tritonclient wants them."""
    filled = []
    for name, array, datatype in (
        ("number", NUMBER, "FP32"),
        ("count", COUNT, "INT64"),
        ("text", TEXT, "BYTES"),
    ):
        tensor = module.InferInput(name, list(array.shape), datatype)  # type: ignore[attr-defined]
        tensor.set_data_from_numpy(array)
        filled.append(tensor)
    return filled


def check(result: triton.InferResult) -> None:
    """Check what the model must have answered."""
    np.testing.assert_array_equal(result.as_numpy("doubled"), NUMBER * 2)
    np.testing.assert_array_equal(result.as_numpy("next"), COUNT + 1)
    np.testing.assert_array_equal(result.as_numpy("echo"), TEXT)


def test_tritonclient_infers(server: InferenceProcess) -> None:
    with triton.InferenceServerClient(server.tcp_address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mixed")
        assert client.is_model_ready("mixed", "1")
        assert client.get_server_metadata().name == "slipstream-inference-server"
        metadata = client.get_model_metadata("mixed", as_json=True)
        assert metadata["versions"] == ["1"]
        assert metadata["platform"] == "onnxruntime_onnx"
        assert metadata["inputs"] == [
            {"name": "number", "datatype": "FP32", "shape": ["-1", "2"]},
            {"name": "count", "datatype": "INT64", "shape": ["-1"]},
            {"name": "text", "datatype": "BYTES", "shape": ["-1"]},
        ]
        check(client.infer("mixed", inputs(), request_id="7"))
        asked = [triton.InferRequestedOutput("next")]
        result = client.infer("mixed", inputs(), model_version="1", outputs=asked)
        assert result.as_numpy("echo") is None


async def test_tritonclient_infers_asynchronously(server: InferenceProcess) -> None:
    async with triton_aio.InferenceServerClient(server.tcp_address) as client:
        assert await client.is_server_ready()
        assert await client.is_model_ready("mixed")
        assert (await client.get_model_metadata("mixed")).name == "mixed"
        check(await client.infer("mixed", inputs(triton_aio)))


async def test_tritonclient_streams(server: InferenceProcess) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for call_id in ("a", "b"):
            yield {"model_name": "mixed", "inputs": inputs(triton_aio), "request_id": call_id}

    async with triton_aio.InferenceServerClient(server.tcp_address) as client:
        answered = set()
        async for result, error in client.stream_infer(requests()):
            assert error is None
            check(result)
            answered.add(result.get_response().id)
    assert answered == {"a", "b"}


def test_an_unknown_model_is_not_ready_and_not_found(server: InferenceProcess) -> None:
    with triton.InferenceServerClient(server.tcp_address) as client:
        assert not client.is_model_ready("other")
        assert not client.is_model_ready("mixed", "2")
        for model, version in (("other", ""), ("mixed", "2"), ("", "")):
            with pytest.raises(InferenceServerException) as caught:
                client.infer(model, inputs(), model_version=version)
            assert caught.value.status() == "StatusCode.NOT_FOUND"
            with pytest.raises(InferenceServerException, match="this server has model 'mixed'"):
                client.get_model_metadata(model, version)


async def test_extensions_that_are_not_offered_are_unimplemented(
    server: InferenceProcess,
) -> None:
    async with triton_aio.InferenceServerClient(server.tcp_address) as client:
        with pytest.raises(InferenceServerException) as caught:
            await client.get_trace_settings()
        assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


async def test_health_says_serving(server: InferenceProcess) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_shows_the_services_and_their_messages(server: InferenceProcess) -> None:
    with grpc.insecure_channel(server.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        pool = DescriptorPool(database)
        service = pool.FindServiceByName(SERVICE)
        assert {method.name for method in service.methods} >= {"ModelInfer", "ModelStreamInfer"}
        assert pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest")


async def test_metadata_says_what_the_protocol_has_no_field_for(
    shared_server: StartServer, connect: Connect
) -> None:
    properties = {}
    for model in ("float8", "maps", "text_maps", "optional", "any_rank"):
        request = pb.ModelMetadataRequest(name=model)
        metadata = await connect(shared_server(model)).ModelMetadata(request)
        properties[model] = dict(metadata.properties)
    assert properties == {
        "float8": {"unsupported_outputs": "small: tensor(float8e4m3fn)"},
        "maps": {"class_labels": '{"probabilities":[0,1,2]}'},
        "text_maps": {"class_labels": '{"probabilities":["no","yes","ü"]}'},
        "optional": {"optional_inputs": "scale"},
        "any_rank": {"any_rank": "x, y"},
    }
