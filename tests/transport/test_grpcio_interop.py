from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import ECHO, FAIL, SLOW, STREAM, HandlerLog
from tests.transport.test_calls import CallLog
from transport import RpcError, StatusCode

BIG = 20 * 2**20
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture
async def grpcio_server(folder: Path) -> AsyncIterator[str]:
    """A grpc.aio server."""

    async def echo(message: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("t-bin", b"\xff"),))
        return message

    async def fail(_message: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "né %", (("why", "so"),))

    async def slow(_message: bytes, _context: Any) -> None:
        await asyncio.Event().wait()

    async def stream(messages: Any, _context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message

    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.T", methods),))
    server.add_insecure_port(f"unix:{folder}/grpcio")
    await server.start()
    yield f"unix:{folder}/grpcio"
    await server.stop(0)


@pytest.mark.parametrize("size", [0, 10, BIG])
async def test_our_client_calls_a_grpcio_server(grpcio_server: str, dial: Dial, size: int) -> None:
    connection = await dial(grpcio_server)
    assert await connection.unary(ECHO, bytes(size), timeout=TIMEOUT_SECONDS) == bytes(size)


async def test_our_client_understands_a_grpcio_servers_errors(
    grpcio_server: str, dial: Dial
) -> None:
    connection = await dial(grpcio_server)
    with pytest.raises(RpcError) as caught:
        await connection.unary(FAIL, b"")
    assert (caught.value.code, caught.value.message) == (StatusCode.NOT_FOUND, "né %")
    assert ("why", "so") in caught.value.trailers
    for path, code in ((SLOW, StatusCode.DEADLINE_EXCEEDED), ("/a.B/C", StatusCode.UNIMPLEMENTED)):
        with pytest.raises(RpcError) as caught:
            await connection.unary(path, b"", timeout=0.1)
        assert caught.value.code is code


async def test_our_client_streams_with_a_grpcio_server(grpcio_server: str, dial: Dial) -> None:
    connection = await dial(grpcio_server)
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    sent = [b"a", bytes(BIG), b"", *[b"%d" % n for n in range(2000)]]
    for one in sent:
        stream.send(one)
    stream.half_close()
    assert (await asyncio.wait_for(log.ended, TIMEOUT_SECONDS)).ok
    assert log.messages == sent


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_grpcio_client_calls_our_server(start: Start, kind: str) -> None:
    address = await start("" if kind == "unix" else "127.0.0.1:0")
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        echo = channel.unary_unary(ECHO)
        for size in (0, 10, BIG):
            assert await echo(bytes(size)) == bytes(size)
        packed = await echo(bytes(10**6), compression=grpc.Compression.Gzip)
        assert packed == bytes(10**6)
        answers = await asyncio.gather(*(echo(b"%d" % n) for n in range(300)))
        assert list(answers) == [b"%d" % n for n in range(300)]


async def test_the_flood_guard_does_not_count_a_grpcio_clients_window_updates(
    start: Start,
) -> None:
    """grpcio sends two tiny WINDOW_UPDATEs with each call."""
    address = await start(max_useless_frames=50, useless_frames_per_second=1)
    async with grpc.aio.insecure_channel(address) as channel:
        echo = channel.unary_unary(ECHO)
        for n in range(400):
            assert await echo(b"%d" % n) == b"%d" % n
        stream = channel.stream_stream(STREAM)()
        for n in range(400):
            await stream.write(b"%d" % n)
            assert await stream.read() == b"%d" % n


async def test_oversized_headers_of_a_grpcio_client_end_their_own_call_only(start: Start) -> None:
    async with grpc.aio.insecure_channel(await start()) as channel:
        stream = channel.stream_stream(STREAM)()
        await stream.write(b"before")
        assert await stream.read() == b"before"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(ECHO)(b"", metadata=[("x-large", "y" * 30_000)])
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stream.write(b"after")
        assert await stream.read() == b"after"


async def test_a_grpcio_client_understands_our_errors(
    start: Start, handler_log: HandlerLog
) -> None:
    async with grpc.aio.insecure_channel(await start()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(FAIL)(b"")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert caught.value.details() == "né 100 %\n"
        assert ("why-bin", b"\x01") in [tuple(pair) for pair in caught.value.trailing_metadata()]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/a.B/C")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(SLOW)(b"", timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)


async def test_a_grpcio_client_streams_and_cancels(start: Start, handler_log: HandlerLog) -> None:
    async with grpc.aio.insecure_channel(await start(), options=OPTIONS) as channel:
        stream = channel.stream_stream(STREAM)()
        await stream.write(bytes(BIG))
        assert await stream.read() == bytes(BIG)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        other = channel.stream_stream(STREAM)()
        await other.write(b"x")
        await other.read()
        other.cancel()
        await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)


async def test_a_synchronous_grpcio_client_calls_our_server(start: Start) -> None:
    address = await start()

    def call() -> list[bytes]:
        with grpc.insecure_channel(address) as channel:
            unary = channel.unary_unary(ECHO)(b"one", timeout=TIMEOUT_SECONDS)
            return [
                unary,
                *channel.stream_stream(STREAM)(iter([b"two", b"three"]), timeout=TIMEOUT_SECONDS),
            ]

    assert await asyncio.to_thread(call) == [b"one", b"two", b"three"]


async def test_a_grpcio_client_finishes_its_call_while_the_server_drains(
    start: Start, servers: list[Any]
) -> None:
    async with grpc.aio.insecure_channel(await start()) as channel:
        stream = channel.stream_stream(STREAM)()
        await stream.write(b"x")
        await stream.read()
        draining = asyncio.create_task(servers[0].drain(10))
        await asyncio.sleep(0)
        await stream.write(b"y")
        assert await stream.read() == b"y"
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.OK
        await asyncio.wait_for(draining, TIMEOUT_SECONDS)
