"""Triton's extensions with Triton's own client: model configuration, statistics, the index."""

from __future__ import annotations

import time
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
import tritonclient.grpc.aio as triton_aio  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from protos import open_inference_pb2 as pb
from protos.parameters import CANCELLATION
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import fp32, infer_request

TCP = ("--tcp", "127.0.0.1:0")


def config_of(server: InferenceProcess) -> Any:
    """Return a model's configuration, as tritonclient has it."""
    with triton.InferenceServerClient(server.tcp_address) as client:
        return client.get_model_config(server.model).config


def infer(server: InferenceProcess, rows: int, columns: int = 4) -> None:
    """Make one call."""
    tensor = triton.InferInput("x", [rows, columns], "FP32")
    tensor.set_data_from_numpy(np.ones((rows, columns), "f4"))
    with triton.InferenceServerClient(server.tcp_address) as client:
        client.infer("mlp", [tensor])


def test_the_batch_axis_is_left_out_of_the_configuration(shared_server: StartServer) -> None:
    config = config_of(shared_server("mlp"))
    assert config.name == "mlp"
    assert (config.platform, config.backend) == ("onnxruntime_onnx", "onnxruntime")
    assert config.max_batch_size > 1
    assert config.HasField("dynamic_batching")
    assert list(config.version_policy.specific.versions) == [1]
    (taken,), (given,) = config.input, config.output
    assert (taken.name, taken.data_type, list(taken.dims)) == ("x", 11, [4])
    assert (given.name, given.data_type, list(given.dims)) == ("y", 11, [3])
    assert not taken.optional


def test_a_configured_batch_size_is_shown(start_server: StartServer) -> None:
    config = config_of(start_server("mlp", *TCP, "--max-batch-size", "1"))
    assert config.max_batch_size == 1
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [4]


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("mixed", {"number": (11, [-1, 2]), "count": (9, [-1]), "text": (13, [-1])}),
        ("scalar", {"x": (11, [])}),
        ("any_rank", {"x": (11, [-1])}),
        ("optional", {"x": (11, [-1]), "scale": (11, [1])}),
    ],
)
def test_a_model_without_a_batch_axis_is_configured_with_full_shapes(
    shared_server: StartServer, model: str, inputs: dict[str, tuple[int, list[int]]]
) -> None:
    config = config_of(shared_server(model))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert {each.name: (each.data_type, list(each.dims)) for each in config.input} == inputs
    assert [each.name for each in config.input if each.optional] == (
        ["scale"] if model == "optional" else []
    )


async def test_every_datatype_has_its_name_in_the_configuration(
    shared_server: StartServer, connect: Connect
) -> None:
    shown = {}
    for model in ("numeric", "bfloat_and_text"):
        stub = connect(shared_server(model))
        metadata = await stub.ModelMetadata(pb.ModelMetadataRequest(name=model))
        answer = await stub.ModelConfig(pb.ModelConfigRequest(name=model))
        for tensor, configured in zip(metadata.inputs, answer.config.input, strict=True):
            shown[tensor.datatype] = pb.DataType.Name(configured.data_type)
    assert shown.pop("BYTES") == "TYPE_STRING"
    assert shown == {datatype: f"TYPE_{datatype}" for datatype in shown}
    assert len(shown) == 13


def test_statistics_count_calls_rows_and_runs(start_server: StartServer) -> None:
    server = start_server("mlp", *TCP)
    before = time.time_ns() // 1_000_000
    for rows in (1, 1, 4):
        infer(server, rows)
    with pytest.raises(InferenceServerException, match="expected shape"):
        infer(server, 1, columns=5)
    with triton.InferenceServerClient(server.tcp_address) as client:
        (counted,) = client.get_inference_statistics("mlp", "1").model_stats
        assert client.get_inference_statistics().model_stats[0].name == "mlp"
    assert (counted.name, counted.version) == ("mlp", "1")
    assert (counted.inference_count, counted.execution_count) == (6, 3)
    assert before <= counted.last_inference <= time.time_ns() // 1_000_000 + 1
    calls = counted.inference_stats
    assert (calls.success.count, calls.fail.count) == (3, 1)
    parts = (calls.queue, calls.compute_input, calls.compute_infer, calls.compute_output)
    assert [part.count for part in parts] == [3, 3, 3, 3]
    assert calls.compute_infer.ns > 0
    assert calls.success.ns == pytest.approx(calls.queue.ns + calls.compute_infer.ns, abs=2)
    sizes = {each.batch_size: each.compute_infer.count for each in counted.batch_stats}
    assert sizes == {1: 2, 4: 1}
    assert sum(each.compute_infer.ns for each in counted.batch_stats) == pytest.approx(
        calls.compute_infer.ns, abs=2
    )


async def test_a_run_shared_by_calls_counts_once_and_its_time_for_each_call(
    start_server: StartServer, connect: Connect
) -> None:
    stub = connect(start_server("mlp"))
    stream = stub.ModelStreamInfer()
    calls = 200
    for number in range(calls):
        request = infer_request("mlp", {"x": fp32([1, 2, 3, 4])}, call_id=str(number))
        await stream.write(request)
    for _ in range(calls):
        assert not (await stream.read()).error_message
    answer = await stub.ModelStatistics(pb.ModelStatisticsRequest(name="mlp"))
    (counted,) = answer.model_stats
    assert counted.inference_count == calls
    assert counted.inference_stats.compute_infer.count == calls
    sizes = {each.batch_size: each.compute_infer for each in counted.batch_stats}
    assert sum(each.count for each in sizes.values()) == counted.execution_count
    assert sum(size * each.count for size, each in sizes.items()) == calls
    of_calls = sum(size * each.ns for size, each in sizes.items())
    assert counted.inference_stats.compute_infer.ns == pytest.approx(of_calls, abs=len(sizes) * 256)
    await stream.done_writing()


async def test_calls_of_a_batch_that_failed_count_alone(
    start_server: StartServer, connect: Connect
) -> None:
    stub = connect(start_server("gather"))
    stream = stub.ModelStreamInfer()
    for number in range(20):
        index = ("INT64", np.array([9 if number == 7 else 0], "i8"))
        await stream.write(infer_request("gather", {"index": index}, call_id=str(number)))
    failed = [(await stream.read()).error_message for _ in range(20)]
    assert len([message for message in failed if message]) == 1
    (counted,) = (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
    calls = counted.inference_stats
    assert (calls.success.count, calls.fail.count, calls.compute_infer.count) == (19, 1, 19)
    assert counted.inference_count == 19
    await stream.done_writing()


async def test_the_asyncio_client_reads_all_three(shared_server: StartServer) -> None:
    async with triton_aio.InferenceServerClient(shared_server("mlp").tcp_address) as client:
        config = await client.get_model_config("mlp", as_json=True)
        assert config["config"]["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}]
        statistics = await client.get_inference_statistics("mlp")
        assert statistics.model_stats[0].version == "1"
        index = await client.get_model_repository_index(as_json=True)
        assert index == {"models": [{"name": "mlp", "version": "1", "state": "READY"}]}


def test_metadata_lists_the_extensions(shared_server: StartServer) -> None:
    with triton.InferenceServerClient(shared_server("mlp").tcp_address) as client:
        extensions = list(client.get_server_metadata().extensions)
    assert extensions == ["model_configuration", "statistics", CANCELLATION]


def test_an_unknown_model_is_not_found(shared_server: StartServer) -> None:
    with triton.InferenceServerClient(shared_server("mlp").tcp_address) as client:
        for ask in (client.get_model_config, client.get_inference_statistics):
            for name, version in (("other", ""), ("mlp", "2")):
                with pytest.raises(InferenceServerException, match="this server has") as caught:
                    ask(name, version)
                assert caught.value.status() == "StatusCode.NOT_FOUND"
        with pytest.raises(InferenceServerException):
            client.get_model_config("")


@pytest.mark.long
async def test_a_booting_server_has_an_index_and_statistics_but_no_configuration(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_load", *TCP, until="listening")
    with triton.InferenceServerClient(server.tcp_address) as client:
        (model,) = client.get_model_repository_index().models
        assert (model.name, model.version, model.state) == ("slow_to_load", "1", "LOADING")
        assert client.get_inference_statistics().model_stats[0].execution_count == 0
        with pytest.raises(InferenceServerException, match="is booting") as caught:
            client.get_model_config("slow_to_load")
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
    answer = await connect(server).RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert not answer.models


async def test_the_index_shows_why_a_server_failed(
    start_server: StartServer, connect: Connect
) -> None:
    stub = connect(start_server("sequence", until="failed"))
    (model,) = (await stub.RepositoryIndex(pb.RepositoryIndexRequest())).models
    assert model.state == "UNAVAILABLE"
    assert "only tensors" in model.reason


async def test_a_named_repository_is_unimplemented(
    shared_server: StartServer, connect: Connect
) -> None:
    request = pb.RepositoryIndexRequest(repository_name="other")
    with pytest.raises(grpc.aio.AioRpcError, match="there is one repository") as caught:
        await connect(shared_server("mlp")).RepositoryIndex(request)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
