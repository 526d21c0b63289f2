"""Runs and boots that would never end, in a real server."""

from __future__ import annotations

import grpc
import grpc.aio
import numpy as np
import pytest

from inference_server.spawn import ServerExitStatus
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.parameters import CANCEL, TIMEOUT
from protos.status import CODE_KEY
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.stub import InferenceStub
from tests.timing import Timer

_SOON_SECONDS = 20.0
"""A call behind an endless run would wait indefinitely."""


def counting(
    trips: int, *, call_id: str = "", timeout: float | None = None
) -> pb.ModelInferRequest:
    tensors = {"x": ("FP32", np.zeros(1, "f4")), "trips": ("INT64", np.array(trips))}
    request = infer_request("loop", tensors, call_id=call_id)
    if timeout is not None:
        request.parameters[TIMEOUT].int64_param = round(timeout * 1e6)
    return request


async def assert_answers(stub: InferenceStub) -> None:
    answer = await stub.ModelInfer(counting(3), timeout=_SOON_SECONDS)
    assert arrays(answer)["y"].tolist() == [3]


async def until_running(stub: InferenceStub) -> None:
    """Return when a thread has taken the endless call: another call waits behind it."""

    async def call_until_late() -> None:
        while True:
            await stub.ModelInfer(counting(1), timeout=0.2)

    with pytest.raises(grpc.aio.AioRpcError) as late:
        await call_until_late()
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_run_ends_at_the_deadline_of_its_call(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("loop")
    stub = connect(server)
    await assert_answers(stub)
    stream = stub.ModelStreamInfer()
    timer = Timer()
    await stream.write(counting(10**15, call_id="endless", timeout=0.5))
    reply = await stream.read()
    assert reply.infer_response.parameters[CODE_KEY].string_param == ErrorCode.DEADLINE_EXCEEDED
    assert reply.infer_response.id == "endless"
    assert timer.seconds < _SOON_SECONDS
    await assert_answers(stub)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await stub.ModelInfer(counting(10**15), timeout=0.5)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await assert_answers(stub)
    assert server.process.poll() is None


async def test_a_run_ends_when_its_client_cancels_or_leaves(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("loop")
    stub = connect(server)
    stream = stub.ModelStreamInfer()
    await stream.write(counting(10**15, call_id="endless"))
    await until_running(stub)
    cancellation = pb.ModelInferRequest(id="endless")
    cancellation.parameters[CANCEL].bool_param = True
    await stream.write(cancellation)
    await assert_answers(stub)
    leaving = connect(server).ModelStreamInfer()
    await leaving.write(counting(10**15))
    await until_running(stub)
    leaving.cancel()
    await assert_answers(stub)
    assert server.process.poll() is None


async def test_a_server_whose_run_does_not_end_in_time_ends_itself(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("one_long_operator", "--run-grace-seconds", "0.3")
    stub = connect(server)
    few = infer_request("one_long_operator", {"n": ("INT64", np.array(3))})
    assert arrays(await stub.ModelInfer(few))["count"].tolist() == [3]
    many = infer_request("one_long_operator", {"n": ("INT64", np.array(200_000))})
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ModelInfer(many, timeout=0.3)
    reason = server.wait_for("stuck")["message"]
    assert "after its last caller had gone" in reason
    assert server.ended() == ServerExitStatus.STUCK
    assert "went on for" in server.log()


async def test_a_warm_up_without_an_end_fails_and_leaves_no_run_behind(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("endless", "--warm-up-seconds", "0.3", until="failed")
    reason = "the first run took longer than 0.3 s (setting SLIPSTREAM_INFERENCE_WARM_UP_SECONDS)"
    assert server.events[-1]["message"] == reason
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await connect(server).ModelInfer(infer_request("endless", {"x": fp32([0.0])}))
    assert refused.value.details() == reason
    assert server.cpu_seconds_in(0.5) < 0.25


def test_a_load_that_takes_too_long_fails_and_ends_the_process(start_server: StartServer) -> None:
    server = start_server("slow_to_load", "--load-seconds", "0.3", until="failed")
    reason = "loading the model took longer than 0.3 s (setting SLIPSTREAM_INFERENCE_LOAD_SECONDS)"
    assert server.events[-1]["message"] == reason
    assert server.wait_for("stuck")["message"] == reason
    assert server.ended() == ServerExitStatus.STUCK
