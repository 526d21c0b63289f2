"""With an idle time-out a server without calls ends by itself, with an exit status of its own."""

from __future__ import annotations

import asyncio

import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inference_server.spawn import ServerExitStatus
from protos import open_inference_pb2 as pb
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.stub import InferenceStub

CALLS = 10
"""Of 0.3 s each, one after the other: longer than the two seconds that make a server idle."""


def call() -> pb.ModelInferRequest:
    """Return a call that takes microseconds."""
    return infer_request("mlp", {"x": fp32([1, 2, 3, 4])})


async def ended(server: InferenceProcess) -> int:
    """Return the exit status of a server that ends by itself."""
    return await asyncio.to_thread(server.ended)


async def test_an_idle_server_drains_and_ends(start_server: StartServer, connect: Connect) -> None:
    server = start_server("mlp", "--idle-timeout", "1")
    stream = connect(server).ModelStreamInfer()
    await stream.write(call())
    assert not (await stream.read()).error_message
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await ended(server) == ServerExitStatus.IDLE
    assert server.wait_for("draining")
    assert not server.socket.exists()
    assert "idle" in server.log()


async def test_probes_and_metadata_do_not_keep_a_server_running(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("mlp", "--idle-timeout", "0.5")
    stub = connect(server)
    await stub.ModelInfer(call())

    async def ask(stub: InferenceStub) -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                await health.Check(health_pb2.HealthCheckRequest())
                await stub.ModelReady(pb.ModelReadyRequest(name="mlp"))
                await stub.ModelMetadata(pb.ModelMetadataRequest(name="mlp"))
                await stub.ModelStatistics(pb.ModelStatisticsRequest(name="mlp"))
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask(stub))
    assert await ended(server) == ServerExitStatus.IDLE
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.long
async def test_waiting_and_running_calls_keep_a_server_running(
    start_server: StartServer, connect: Connect
) -> None:
    alone = ("--threads", "1", "--max-batch-size", "1")
    server = start_server("slow_to_run", "--idle-timeout", "2", *alone)
    stub = connect(server)
    request = infer_request("slow_to_run", {"x": ("FP32", np.ones(1, "f4"))})
    answers = await asyncio.gather(*(stub.ModelInfer(request) for _ in range(CALLS)))
    assert [arrays(answer)["y"].tolist() for answer in answers] == [[1.0]] * CALLS
    assert await ended(server) == ServerExitStatus.IDLE


@pytest.mark.long
async def test_a_refused_call_counts_as_a_call(start_server: StartServer, connect: Connect) -> None:
    server = start_server("mlp", "--idle-timeout", "1")
    stub = connect(server)
    misfit = infer_request("mlp", {"other": fp32([1, 2, 3, 4])})
    for _ in range(15):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(misfit)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await asyncio.sleep(0.1)
    assert await ended(server) == ServerExitStatus.IDLE


async def test_a_started_server_waits_for_its_first_call(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_load", "--idle-timeout", "0.2", until="listening")
    request = infer_request("slow_to_load", {"x": ("FP32", np.ones(2, "f4"))})
    stub = connect(server)
    with pytest.raises(grpc.aio.AioRpcError, match="booting"):
        await stub.ModelInfer(request)
    await asyncio.to_thread(server.wait_for, "ready")
    await asyncio.sleep(1)
    assert arrays(await stub.ModelInfer(request))["y"].tolist() == [1, 1]
    assert await ended(server) == ServerExitStatus.IDLE


async def test_a_server_told_to_stop_exits_as_stopped(start_server: StartServer) -> None:
    server = start_server("mlp", "--idle-timeout", "100")
    server.terminate()
    assert await ended(server) == ServerExitStatus.STOPPED


async def test_a_failed_server_stays_to_report_the_reason(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("sequence", "--idle-timeout", "0.1", until="failed")
    stub = connect(server)
    for _ in range(10):
        with pytest.raises(grpc.aio.AioRpcError, match="only tensors are supported"):
            await stub.ModelInfer(infer_request("sequence", {"x": fp32([1])}))
        await asyncio.sleep(0.1)
    server.terminate()
    assert await ended(server) == ServerExitStatus.STOPPED
