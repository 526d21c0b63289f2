"""A Link connects as soon as it can, connects again, and lets go without dropping calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from tests.gateway.upstream.conftest import Watch, soon, until
from tests.gateway.upstream.stock_server import Answer, Request, StockServer, echo
from tests.timing import TIMEOUT_SECONDS, Timer


def request(content: bytes = b"") -> pb.ModelInferRequest:
    """Return a call."""
    return pb.ModelInferRequest(model_name="mlp", raw_input_contents=[content])


class HeldReplies:
    """Answers calls when it is opened."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def answer(self, call: Request) -> Answer:
        """Answer one call."""
        await self._open.wait()
        return await echo(call)

    def open(self) -> None:
        """Let the answers out."""
        self._open.set()


@pytest.mark.parametrize(
    "ready",
    [
        False,
        b"\xff no message",
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    ],
    ids=str,
)
async def test_a_server_takes_calls_once_it_says_that_its_model_is_ready(
    stock: StockServer, watch: Watch, ready: bool | bytes | grpc.StatusCode
) -> None:
    stock.ready = ready
    watched = watch(stock.address)
    await soon(stock.asked.wait())
    stock.asked.clear()
    await soon(stock.asked.wait())  # it asked again: so the first answer has been seen
    assert watched.link.stream is None
    stock.ready = True
    stream = await watched.connected()
    assert (await stream.infer(request(b"a"), TIMEOUT_SECONDS)).raw_output_contents[0] == b"a"


async def test_a_server_that_starts_later_is_connected(socket_folder: Path, watch: Watch) -> None:
    server = StockServer(socket_folder / "late.sock")
    watched = watch(server.address)
    await asyncio.sleep(0)
    assert watched.link.stream is None
    async with server:
        timer = Timer()
        await watched.connected()
        assert timer.seconds < 2


async def test_a_restarted_server_is_connected_again(stock: StockServer, watch: Watch) -> None:
    watched = watch(stock.address)
    first = await watched.connected()
    await stock.stop()
    await watched.lost()
    await stock.start()
    timer = Timer()
    second = await watched.connected()
    assert timer.seconds < 2
    assert second is not first
    assert (await second.infer(request(b"a"), TIMEOUT_SECONDS)).raw_output_contents[0] == b"a"


async def test_closing_lets_calls_in_flight_finish(stock: StockServer, watch: Watch) -> None:
    gate = HeldReplies()
    stock.answer = gate.answer
    watched = watch(stock.address)
    stream = await watched.connected()
    calls = [
        asyncio.create_task(stream.infer(request(b"%d" % number), TIMEOUT_SECONDS))
        for number in range(3)
    ]
    for _ in calls:
        await soon(stock.received.get())
    closing = asyncio.create_task(watched.link.close(TIMEOUT_SECONDS))
    done, _ = await asyncio.wait([closing, *calls], timeout=0.1)
    assert not done
    gate.open()
    answers = await asyncio.gather(*calls)
    assert [answer.raw_output_contents[0] for answer in answers] == [b"0", b"1", b"2"]
    await soon(closing)
    assert watched.link.stream is None


async def test_closing_waits_no_longer_than_its_grace(stock: StockServer, watch: Watch) -> None:
    stock.answer = HeldReplies().answer
    watched = watch(stock.address)
    stream = await watched.connected()
    call = asyncio.create_task(stream.infer(request(), TIMEOUT_SECONDS))
    await soon(stock.received.get())
    timer = Timer()
    await watched.link.close(0.1)
    assert timer.elapsed > 0.1
    assert timer.seconds < 1
    with pytest.raises(GatewayError) as caught:
        await call
    assert caught.value.code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE


@pytest.mark.parametrize("there", [True, False])
async def test_an_idle_connection_closes_at_once(
    socket_folder: Path, watch: Watch, there: bool
) -> None:
    async with StockServer(socket_folder / "idle.sock") as server:
        watched = watch(server.address if there else f"unix:{socket_folder / 'none.sock'}")
        if there:
            await watched.connected()
        timer = Timer()
        await watched.link.close(TIMEOUT_SECONDS)
        assert timer.seconds < 2


async def test_every_connect_and_disconnect_is_reported(stock: StockServer, watch: Watch) -> None:
    watched = watch(stock.address)
    await watched.connected()  # and `connected`, like `lost`, waits for nothing but reports
    await stock.stop()
    await watched.lost()
    await stock.start()
    await watched.connected()
    await watched.link.close(0)
    await until(lambda: watched.link.stream is None)


@pytest.mark.parametrize("ready", [True, False])
async def test_closing_ends_whatever_the_server_does_at_that_moment(
    socket_folder: Path, watch: Watch, ready: bool
) -> None:
    for turns in range(30):
        server = StockServer(socket_folder / f"going-{turns}.sock")
        await server.start()
        server.ready = ready
        watched = watch(server.address)
        await soon(watched.connected() if ready else server.asked.wait())
        await server.stop()
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        await soon(watched.link.close(0))
