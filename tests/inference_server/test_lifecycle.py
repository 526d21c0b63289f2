"""The life of a server: boot, failure, drain, and the death of its parent."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.status import CODE_KEY
from tests.inference_server.conftest import Connect, Publish, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.stub import InferenceStub
from tests.timing import Timer


def slow() -> pb.ModelInferRequest:
    """Return a call that takes 0.3 s."""
    return infer_request("slow_to_run", {"x": ("FP32", np.ones(1, "f4"))}, call_id="slow")


async def failure(stub: InferenceStub, request: pb.ModelInferRequest) -> tuple[object, str, str]:
    """Return status, code and message of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelInfer(request)
    code = dict(caught.value.trailing_metadata() or ()).get(CODE_KEY, "")
    return caught.value.code(), str(code), caught.value.details() or ""


def test_a_boot_is_reported_phase_by_phase(start_server: StartServer) -> None:
    server = start_server("mlp")
    assert [(line["event"], line.get("phase")) for line in server.events] == [
        ("listening", None),
        ("phase", "loading"),
        ("phase", "warming"),
        ("ready", None),
    ]
    assert server.events[0]["address"] == server.address
    assert 0 < server.events[-1]["boot_seconds"] < 60
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert {"listening", "threads_planned"} <= {line["event"] for line in lines}
    for line in lines:
        about = (line["model"], line["version"], line["pid"])
        assert about == ("mlp", 1, server.process.pid)
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600


def test_the_reported_boot_time_is_not_longer_than_the_boot(start_server: StartServer) -> None:
    timer = Timer()
    server = start_server("mlp")
    assert server.events[-1]["boot_seconds"] < timer.elapsed + 0.02


def test_no_usage_is_reported_to_the_vendor_of_the_runtime(shared_server: StartServer) -> None:
    process = psutil.Process(shared_server("mlp").process.pid)
    opened = [file.path for file in process.open_files()]
    assert not [path for path in opened if "Microsoft" in path]


async def test_a_loading_server_answers_probes_and_refuses_calls(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_load", until="phase")
    stub = connect(server)
    request = infer_request("slow_to_load", {"x": ("FP32", np.ones(2, "f4"))})
    assert await failure(stub, request) == (
        grpc.StatusCode.UNAVAILABLE,
        ErrorCode.INFERENCE_SERVER_BOOTING,
        "model 'slow_to_load' version 1 is booting (loading)",
    )
    stream = stub.ModelStreamInfer()
    await stream.write(request)
    answer = await stream.read()
    assert "booting" in answer.error_message
    probes = 0
    while not (await stub.ModelReady(pb.ModelReadyRequest(name="slow_to_load"))).ready:
        assert (await stub.ServerLive(pb.ServerLiveRequest())).live
        probes += 1
        await asyncio.sleep(0.02)  # the server needs the processor
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert probes > 5, "a probe waits for the model"
    await stream.write(request)
    assert arrays((await stream.read()).infer_response)["y"].tolist() == [1, 1]
    assert server.wait_for("ready")


async def test_health_watchers_see_every_change(start_server: StartServer) -> None:
    server = start_server("slow_to_load", until="listening")
    statuses = health_pb2.HealthCheckResponse
    async with (
        grpc.aio.insecure_channel(server.address) as channel,
        grpc.aio.insecure_channel(server.address) as other_channel,
    ):
        request = health_pb2.HealthCheckRequest()
        gone = health_pb2_grpc.HealthStub(other_channel).Watch(request)
        await gone.read()
        gone.cancel()
        watched = health_pb2_grpc.HealthStub(channel).Watch(request)
        assert (await watched.read()).status == statuses.NOT_SERVING
        assert (await watched.read()).status == statuses.SERVING
        server.terminate()
        assert (await watched.read()).status == statuses.NOT_SERVING
        assert await watched.read() is grpc.aio.EOF
    assert server.ended() == 0


async def test_a_model_that_takes_a_sequence_is_unimplemented(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("sequence", until="failed")
    assert server.events[-1]["code"] == ErrorCode.NOT_IMPLEMENTED
    reason = "the model takes input 'x' of type seq(tensor(float)): only tensors are supported"
    assert server.events[-1]["message"] == reason
    stub = connect(server)
    expected = (grpc.StatusCode.UNIMPLEMENTED, ErrorCode.NOT_IMPLEMENTED, reason)
    assert await failure(stub, infer_request("sequence", {"x": fp32([1])})) == expected
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelMetadata(pb.ModelMetadataRequest(name="sequence"))
    assert (caught.value.code(), caught.value.details()) == (expected[0], reason)
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready


async def test_a_model_that_cannot_be_loaded_is_reported_and_the_server_stays(
    tmp_path: Path, publish: Publish, socket_folder: Path, connect: Connect
) -> None:
    broken = tmp_path / "store"
    version = broken / "mlp" / "1"
    version.mkdir(parents=True)
    good = publish("mlp") / "mlp" / "1"
    (version / "manifest.json").write_bytes((good / "manifest.json").read_bytes())
    (version / "model.onnx").write_bytes(b"not a model")
    with InferenceProcess(broken, "mlp", socket_folder) as server:
        failed = server.wait_for("failed")
        assert failed["code"] == ErrorCode.INFERENCE_SERVER_FAILED
        assert failed["message"].startswith("ONNX Runtime cannot load the model:")
        assert str(tmp_path) not in failed["message"]
        status, code, message = await failure(
            connect(server), infer_request("mlp", {"x": fp32([1, 2, 3, 4])})
        )
        assert (status, code) == (
            grpc.StatusCode.UNAVAILABLE,
            ErrorCode.INFERENCE_SERVER_FAILED,
        )
        assert message == failed["message"]
        server.terminate()
        assert server.ended() == 0


def test_a_missing_version_is_reported(publish: Publish, socket_folder: Path) -> None:
    with InferenceProcess(publish("mlp"), "mlp", socket_folder, version=9) as server:
        failed = server.wait_for("failed")
    assert failed["code"] == ErrorCode.INFERENCE_SERVER_FAILED
    assert "version 9" in failed["message"]


async def test_sigterm_lets_calls_in_flight_finish(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_run", "--threads", "1")
    stub = connect(server)
    stream = stub.ModelStreamInfer()
    await stream.write(slow())
    unary = asyncio.create_task(answered(stub))
    await queued(server, 1)
    server.terminate()
    server.wait_for("draining")
    assert not (await stream.read()).error_message
    assert await unary == [1.0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata())[CODE_KEY] == ErrorCode.SHUTTING_DOWN
    assert server.ended() == 0
    assert not server.socket.exists()


async def test_an_idle_stream_does_not_delay_the_shutdown(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("mlp", "--grace-seconds", "60")
    stream = connect(server).ModelStreamInfer()
    await stream.write(infer_request("mlp", {"x": fp32([1, 2, 3, 4])}))
    await stream.read()
    timer = Timer()
    server.terminate()
    assert server.ended() == 0
    assert timer.seconds < 10


async def test_calls_that_exceed_the_grace_period_are_cut_off(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_run", "--threads", "1", "--grace-seconds", "0.1")
    calls = [asyncio.create_task(answered(connect(server))) for _ in range(8)]
    await queued(server, 4)
    timer = Timer()
    server.terminate()
    assert server.ended() == 0
    assert timer.seconds < 8 * 0.3
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)


def test_sigterm_while_loading_ends_the_server_at_once(start_server: StartServer) -> None:
    server = start_server("slow_to_load", until="phase")
    timer = Timer()
    server.terminate()
    assert server.ended() == 0
    assert timer.seconds < 2


async def test_a_second_sigterm_ends_the_server_at_once(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_run", "--threads", "1", "--grace-seconds", "60")
    calls = [asyncio.create_task(answered(connect(server))) for _ in range(30)]
    await queued(server, 20)
    server.terminate()
    server.wait_for("draining")
    server.terminate()
    assert server.ended() == 128 + signal.SIGTERM
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)


def test_ctrl_c_is_left_to_the_parent(start_server: StartServer) -> None:
    server = start_server("mlp")
    server.process.send_signal(signal.SIGINT)
    server.terminate()
    assert server.ended() == 0
    assert "KeyboardInterrupt" not in server.log()


def test_a_server_ends_with_its_parent(start_server: StartServer) -> None:
    server = start_server("mlp")
    server.cut_lifeline()
    assert server.ended() != 0


def test_a_loading_server_ends_with_its_parent(start_server: StartServer) -> None:
    server = start_server("slow_to_load", until="phase")
    timer = Timer()
    server.cut_lifeline()
    assert server.ended() != 0
    assert timer.seconds < 2


async def test_a_killed_server_fails_its_calls_at_once(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_run", "--threads", "1")
    calls = [asyncio.create_task(answered(connect(server))) for _ in range(4)]
    await queued(server, 2)
    server.process.kill()
    timer = Timer()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert timer.seconds < 2
    assert {
        outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)
    } == {grpc.StatusCode.UNAVAILABLE}


async def answered(stub: InferenceStub) -> list[float]:
    """Return the output of a slow call."""
    values: list[float] = arrays(await stub.ModelInfer(slow()))["y"].tolist()
    return values


async def queued(server: InferenceProcess, calls: int) -> None:
    """Wait until at least `calls` calls wait for a thread."""
    await asyncio.to_thread(server.wait_for_queue, calls)
