"""A connection to a server that speaks the protocol and none of our extensions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import grpc
import pytest
from tritonclient.grpc import service_pb2

from gateway.errors import GatewayError
from gateway.upstream.inference_stream import InferenceStreamClient
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from tests.gateway.upstream.conftest import LIMIT, Watch, soon, until
from tests.gateway.upstream.stock_server import Abort, Answer, Request, StockServer, echo, failure
from tests.timing import Timer


def request(content: bytes = b"", own_id: str = "") -> pb.ModelInferRequest:
    """Return a call that can be told apart by `content`."""
    return pb.ModelInferRequest(model_name="mlp", id=own_id, raw_input_contents=[content])


async def refused(call: Awaitable[object]) -> GatewayError:
    """Return the error that a call ends with."""
    with pytest.raises(GatewayError) as caught:
        await call
    return caught.value


def calls(stream: InferenceStreamClient, count: int) -> list[asyncio.Task[pb.ModelInferResponse]]:
    """Begin some calls, with contents 0, 1, … ."""
    return [
        asyncio.create_task(stream.infer(request(str(number).encode()), 20))
        for number in range(count)
    ]


async def test_replies_reach_their_callers_with_their_ids(stock: StockServer, watch: Watch) -> None:
    everyone = asyncio.Event()

    async def last_first(call: Request) -> Answer:
        if len(stock.requests) == 100:
            everyone.set()
        await everyone.wait()
        for _ in range(100 - int(call.raw_input_contents[0])):
            await asyncio.sleep(0)
        return await echo(call)

    stock.answer = last_first
    stream = await watch(stock.address).connected()
    own_ids = ["same", "", "1", "2", "ü"] * 20
    answers = await asyncio.gather(
        *(
            stream.infer(request(str(number).encode(), own_id), 20)
            for number, own_id in enumerate(own_ids)
        )
    )
    assert [answer.id for answer in answers] == own_ids
    contents = [int(answer.raw_output_contents[0]) for answer in answers]
    assert contents == list(range(100))
    assert len({call.id for call in stock.requests}) == 100
    assert stream.in_flight == 0


async def test_a_failed_call_keeps_its_message_and_leaves_the_others_alone(
    stock: StockServer, watch: Watch
) -> None:
    async def fail_odd(call: Request) -> Answer:
        odd = int(call.raw_input_contents[0]) % 2
        return failure(call, "the model does not like it") if odd else await echo(call)

    stock.answer = fail_odd
    stream = await watch(stock.address).connected()
    good, bad, last = calls(stream, 3)
    error = await refused(bad)
    assert (error.code, error.message) == (
        ErrorCode.INFERENCE_FAILED,
        "the model does not like it",
    )
    assert (await good).raw_output_contents[0] == b"0"
    assert (await last).raw_output_contents[0] == b"2"


async def test_a_deadline_ends_a_call_and_not_the_connection(
    stock: StockServer, watch: Watch
) -> None:
    late = asyncio.Event()

    async def answer_late(call: Request) -> Answer:
        if call.raw_input_contents[0] == b"late":
            await late.wait()
        return await echo(call)

    stock.answer = answer_late
    watched = watch(stock.address)
    stream = await watched.connected()
    timer = Timer()
    error = await refused(stream.infer(request(b"late"), 0.05))
    assert timer.elapsed > 0.04
    assert timer.seconds < 1
    assert error.code is ErrorCode.DEADLINE_EXCEEDED
    assert error.message == "no answer from the inference server within 0.05 s"
    assert stream.in_flight == 0
    late.set()  # its answer now comes before the next one, and has no caller
    assert (await stream.infer(request(b"next"), 20)).raw_output_contents[0] == b"next"
    assert watched.link.stream is stream


async def test_a_cancelled_caller_leaves_nothing_behind(stock: StockServer, watch: Watch) -> None:
    forever = asyncio.Event()

    async def never(call: Request) -> None:
        await forever.wait()

    stock.answer = never
    stream = await watch(stock.address).connected()
    (call,) = calls(stream, 1)
    await soon(stock.received.get())
    assert stream.in_flight == 1
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert stream.in_flight == 0
    stock.answer = echo
    assert (await stream.infer(request(b"next"), 20)).raw_output_contents[0] == b"next"


async def test_a_server_that_reads_nothing_costs_bounded_memory(
    stock: StockServer, watch: Watch
) -> None:
    stream = await watch(stock.address).connected()
    await stream.infer(request(b"first"), 20)
    stock.reading.clear()
    large = bytes(LIMIT - 1000)  # more than the buffers on the way hold, all in all
    stuck = await asyncio.gather(
        *(stream.infer(request(large), 0.2) for _ in range(40)), return_exceptions=True
    )
    codes = [error.code for error in stuck if isinstance(error, GatewayError)]
    assert set(codes) == {ErrorCode.DEADLINE_EXCEEDED, ErrorCode.OVERLOADED}
    assert codes.count(ErrorCode.OVERLOADED) > 20
    stock.reading.set()
    await until(lambda: stream._stream.queued <= 2 * LIMIT)
    await stream.infer(request(b"last"), 20)
    assert 2 < len(stock.requests) < 20


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED],
    ids=lambda status: status.name,
)
async def test_the_streams_end_fails_all_calls_at_once_and_a_new_one_is_opened(
    stock: StockServer, watch: Watch, status: grpc.StatusCode
) -> None:
    async def end_at_the_last(call: Request) -> None:
        if call.raw_input_contents[0] == b"4":
            raise Abort(status)

    stock.answer = end_at_the_last
    watched = watch(stock.address)
    stream = await watched.connected()
    timer = Timer()
    for call in calls(stream, 5):
        error = await refused(call)
        assert error.code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE
        assert error.retry_after == 1
    assert timer.seconds < 1
    assert stream.in_flight == 0
    error = await refused(stream.infer(request(), 20))
    assert error.code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE
    stock.answer = echo
    await watched.lost()
    again = await watched.connected()
    assert again is not stream
    assert (await again.infer(request(b"next"), 20)).raw_output_contents[0] == b"next"


async def test_an_unreadable_reply_ends_the_stream_and_not_the_connector(
    stock: StockServer, watch: Watch
) -> None:
    async def nonsense(call: Request) -> Answer:
        return b"\xff\xff"

    stock.answer = nonsense
    watched = watch(stock.address)
    (call,) = calls(await watched.connected(), 1)
    assert (await refused(call)).code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE
    stock.answer = echo
    await watched.lost()
    again = await watched.connected()
    assert (await again.infer(request(b"next"), 20)).raw_output_contents[0] == b"next"


async def test_a_message_over_the_limit_is_refused_alone(stock: StockServer, watch: Watch) -> None:
    forever = asyncio.Event()

    async def answer(call: Request) -> Answer:
        if call.raw_input_contents[0] == b"0":
            await forever.wait()
        return await echo(call)

    stock.answer = answer
    watched = watch(stock.address)
    stream = await watched.connected()
    (waiting,) = calls(stream, 1)
    await soon(stock.received.get())
    error = await refused(stream.infer(request(bytes(LIMIT)), 20))
    assert error.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert f"expected at most {LIMIT}" in error.message
    assert "SLIPSTREAM_MAX_BODY_BYTES" in error.message
    spare = request(bytes(LIMIT - 100), own_id="x" * 50)
    assert len((await stream.infer(spare, 20)).raw_output_contents[0]) == LIMIT - 100
    forever.set()
    assert (await waiting).raw_output_contents[0] == b"0"
    assert watched.link.stream is stream


async def test_an_answer_may_be_larger_than_any_request(stock: StockServer, watch: Watch) -> None:
    async def enlarge(call: Request) -> Answer:
        answer = await echo(call)
        answer.infer_response.raw_output_contents.append(bytes(6 * LIMIT))
        return answer

    stock.answer = enlarge
    stream = await watch(stock.address).connected()
    answer = await stream.infer(request(), 20)
    assert len(answer.raw_output_contents[1]) == 6 * LIMIT


async def test_what_another_server_does_not_offer_is_not_implemented(
    stock: StockServer, watch: Watch
) -> None:
    stream = await watch(stock.address).connected()
    for asked in (stream.config("mlp", "1"), stream.statistics("mlp", "1")):
        assert (await refused(asked)).code is ErrorCode.NOT_IMPLEMENTED


async def test_metadata_is_passed_on(stock: StockServer, watch: Watch) -> None:
    stock.metadata = service_pb2.ModelMetadataResponse(name="mlp", versions=["1"], platform="other")
    stock.metadata.inputs.add(name="x", datatype="FP32", shape=[-1, 4])
    stream = await watch(stock.address).connected()
    answer = await stream.metadata("mlp", "1")
    assert str(answer) == str(stock.metadata)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ErrorCode.INVALID_TENSOR),
        (grpc.StatusCode.NOT_FOUND, ErrorCode.NO_ACTIVE_INFERENCE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorCode.OVERLOADED),
        (grpc.StatusCode.UNAVAILABLE, ErrorCode.INFERENCE_SERVER_UNAVAILABLE),
        (grpc.StatusCode.UNIMPLEMENTED, ErrorCode.NOT_IMPLEMENTED),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ErrorCode.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, ErrorCode.CANCELLED),
        (grpc.StatusCode.UNKNOWN, ErrorCode.INFERENCE_FAILED),
    ],
)
async def test_a_status_without_our_code_is_still_understood(
    stock: StockServer, watch: Watch, status: grpc.StatusCode, code: ErrorCode
) -> None:
    stock.metadata = status
    stream = await watch(stock.address).connected()
    error = await refused(stream.metadata("mlp", "1"))
    assert (error.code, error.message) == (code, "no metadata of mlp")
