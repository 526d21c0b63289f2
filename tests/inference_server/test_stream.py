"""Many calls over one ModelStreamInfer stream, each independent of the others."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc
import grpc.aio
import numpy as np
import pytest

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.status import CODE_KEY
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.timing import Timer

Stream: TypeAlias = "grpc.aio.StreamStreamCall[pb.ModelInferRequest, pb.ModelStreamInferResponse]"


def slow(call_id: str) -> pb.ModelInferRequest:
    """Return a call that takes 0.3 s."""
    return infer_request("slow_to_run", {"x": ("FP32", np.ones(1, "f4"))}, call_id=call_id)


def gather(call_id: str, index: int) -> pb.ModelInferRequest:
    """Return a call that fails unless `index` is one of -3 to 2."""
    return infer_request("gather", {"index": ("INT64", np.array([index]))}, call_id=call_id)


async def test_responses_carry_the_ids_of_their_calls(
    shared_server: StartServer, connect: Connect
) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype("f4")
    stub = connect(shared_server("mlp"))
    stream = stub.ModelStreamInfer()
    for index, row in enumerate(rows):
        await stream.write(infer_request("mlp", {"x": fp32(row)}, call_id=str(index)))
    await stream.done_writing()
    answers = {answer.infer_response.id: answer.infer_response async for answer in stream}
    assert set(answers) == {str(index) for index in range(50)}
    together = await stub.ModelInfer(infer_request("mlp", {"x": ("FP32", rows)}))
    for index, expected in enumerate(arrays(together)["y"]):
        np.testing.assert_allclose(arrays(answers[str(index)])["y"][0], expected, rtol=1e-5)
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_failed_call_does_not_affect_its_stream(
    shared_server: StartServer, connect: Connect
) -> None:
    stream = connect(shared_server("gather")).ModelStreamInfer()
    wrong_name = gather("wrong", 0)
    wrong_name.inputs[0].name = "other"
    for request in (gather("good", 1), gather("bad", 9), wrong_name, gather("last", 2)):
        await stream.write(request)
    await stream.done_writing()
    answers = {answer.infer_response.id: answer async for answer in stream}
    assert arrays(answers["good"].infer_response)["y"].tolist() == [20.0]
    assert arrays(answers["last"].infer_response)["y"].tolist() == [30.0]
    for call_id, code in (
        ("bad", ErrorCode.INPUT_REJECTED),
        ("wrong", ErrorCode.INVALID_TENSOR),
    ):
        assert answers[call_id].error_message
        assert answers[call_id].infer_response.parameters[CODE_KEY].string_param == code


async def test_bytes_that_are_not_a_message_do_not_end_the_stream(
    shared_server: StartServer,
) -> None:
    async with grpc.aio.insecure_channel(shared_server("gather").address) as channel:
        open_stream: grpc.aio.StreamStreamMultiCallable[bytes, pb.ModelStreamInferResponse]
        open_stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        stream = open_stream()
        await stream.write(b"\xff\xff")
        await stream.write(gather("good", 1).SerializeToString())
        await stream.done_writing()
        broken, good = [answer async for answer in stream]
    assert "not a ModelInferRequest" in broken.error_message
    assert not good.error_message


async def test_an_id_that_is_not_utf8_does_not_affect_other_calls(
    shared_server: StartServer,
) -> None:
    """A recognised request is not parsed, and so its id is not validated."""
    async with grpc.aio.insecure_channel(shared_server("gather").address) as channel:
        open_stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        open_stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        stream = open_stream()
        await stream.write(gather("12345678", 1).SerializeToString())
        assert b"12345678" in await stream.read()
        failing = gather("12345678", 9).SerializeToString()
        await stream.write(failing.replace(b"12345678", b"\xff" * 8))
        await stream.write(gather("87654321", 2).SerializeToString())
        await stream.done_writing()
        answers = [await stream.read() for _ in range(2)]
    assert any(b"87654321" in answer for answer in answers)


async def test_slow_calls_block_neither_their_stream_nor_the_server(
    shared_server: StartServer, connect: Connect
) -> None:
    server = shared_server("slow_to_run")
    stream, other = connect(server).ModelStreamInfer(), connect(server)
    wrong = slow("wrong")
    wrong.inputs[0].name = "other"
    for request in (slow("a"), slow("b"), wrong):
        await stream.write(request)
    assert (await stream.read()).infer_response.id == "wrong"
    answers = asyncio.create_task(answered(stream, 2))
    probes = 0
    while not answers.done():
        await other.ServerReady(pb.ServerReadyRequest())
        probes += 1
    assert await answers == {"a", "b"}
    assert probes > 5, "a probe waits for a run"


async def test_calls_beyond_the_queue_are_refused_at_once(
    start_server: StartServer, connect: Connect
) -> None:
    stub = connect(start_server("slow_to_run", "--threads", "1", "--queue-calls", "1"))
    stream = stub.ModelStreamInfer()
    for call_id in "abc":
        await stream.write(slow(call_id))
    first = await stream.read()
    assert first.infer_response.id == "c"
    assert first.infer_response.parameters[CODE_KEY].string_param == ErrorCode.OVERLOADED
    assert await answered(stream, 2) == {"a", "b"}


async def test_waiting_calls_are_cancelled_when_their_client_leaves(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("slow_to_run", "--threads", "1")
    stream = connect(server).ModelStreamInfer()
    for number in range(20):
        await stream.write(slow(str(number)))
    await stream.read()
    stream.cancel()
    timer = Timer()
    await connect(server).ModelInfer(slow("next"))
    assert timer.seconds < 15 * 0.3
    cancelled = server.sample("inference_requests_total", code="cancelled")
    assert cancelled
    assert cancelled > 10
    assert "unexpected_error" not in server.log()


@pytest.mark.long
async def test_a_client_that_does_not_read_responses_is_paused(
    shared_server: StartServer, connect: Connect
) -> None:
    server, count = shared_server("any_rank"), 120  # gRPC lets windows grow on a fast machine
    large = infer_request("any_rank", {"x": ("FP32", np.zeros(500_000, "f4"))})
    stream = connect(server).ModelStreamInfer()

    async def send() -> None:
        for _ in range(count):
            await stream.write(large)

    sending = asyncio.create_task(send())
    ended, unsent = await asyncio.wait([sending], timeout=1.0)
    reasons = [one.exception() for one in ended]
    assert unsent, f"2 MB a call should have filled every buffer on the way: {reasons}"
    await answered(stream, count)
    await sending


async def answered(stream: Stream, count: int) -> set[str]:
    """Return the ids of the next `count` answers, which must all be good."""
    ids = set()
    for _ in range(count):
        answer = await stream.read()
        assert isinstance(answer, pb.ModelStreamInferResponse)
        assert not answer.error_message
        ids.add(answer.infer_response.id)
    return ids
