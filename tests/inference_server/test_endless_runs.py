"""Runs and boots that would never end, in a real server."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import numpy as np
import pytest

from inference_server.data_plane.run_limit import RunLimit
from inference_server.runtime.warmup import WarmupResult
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


async def test_a_run_ends_after_its_models_longest_time_whatever_its_deadline_is(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("loop", "--max-run-seconds", "0.5")
    stub, others = connect(server), connect(server)
    await assert_answers(stub)
    stream = stub.ModelStreamInfer()
    await stream.write(counting(10**15, call_id="endless", timeout=3600))
    waiting = asyncio.ensure_future(assert_answers(others))
    reply = await stream.read()
    assert reply.infer_response.id == "endless"
    assert reply.infer_response.parameters[CODE_KEY].string_param == ErrorCode.RUN_TIME_EXCEEDED
    assert "longer than 0.5 s" in reply.error_message
    assert "max_run_seconds" in reply.error_message
    await waiting
    with pytest.raises(grpc.aio.AioRpcError) as ended:  # without a deadline of its own
        await stub.ModelInfer(counting(10**15))
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await assert_answers(stub)
    assert server.process.poll() is None
    assert server.log().count("run_took_too_long") == 2


def test_the_longest_time_follows_what_the_first_run_took_and_the_size_of_the_input() -> None:
    warmup = WarmupResult(samples=[(1, 0.5), (2, 0.6)], feeds={"x": np.zeros((1, 4), "f4")})
    derived = RunLimit(None, warmup)
    assert derived.seconds(16) == 50
    assert derived.seconds(4) == 50
    assert derived.seconds(160) == 500
    assert derived.seconds(1 << 30) == 50_000
    assert RunLimit(2, warmup).seconds(1 << 30) == 2
    quick = WarmupResult(samples=[(1, 50e-6)], feeds=warmup.feeds)
    assert RunLimit(None, quick).seconds(1 << 30) == 30
    assert RunLimit(None, WarmupResult(samples=())).seconds(16) == 100


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
