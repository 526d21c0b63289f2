"""The adapter that runs a router's methods on stock grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from gateway.oip.grpcio_server import GrpcioServer
from tests.slipstream.running import free_port
from tests.timing import TIMEOUT_SECONDS
from transport import Router, RpcError, StatusCode, StreamCall, UnaryCall

ERRORS: list[tuple[str, BaseException]] = []


class _Echo:
    """Answers each message twice; after a message "hold", the call does not end by itself."""

    def __init__(self, call: StreamCall, cancelled: asyncio.Event) -> None:
        self._call = call
        self._cancelled = cancelled
        self.received: list[bytes] = []

    def messages(self, messages: list[bytes]) -> None:
        for message in messages:
            if message == b"fail":
                raise RpcError(StatusCode.ABORTED, "failed", (("slipstream-code", "gone"),))
            self.received.append(message)
            self._call.send(message)
            self._call.send(message)

    def half_closed(self) -> None:
        # When a client leaves, grpcio first reports the end of its messages.
        if b"hold" not in self.received:
            self._call.finish(trailers=(("count", str(len(self.received))),))

    def cancelled(self) -> None:
        self._cancelled.set()


async def _answer(raw: bytes, call: UnaryCall) -> bytes:
    if raw == b"bug":
        raise ZeroDivisionError
    if raw == b"no":
        raise RpcError(StatusCode.NOT_FOUND, "unknown model", (("slipstream-code", "not_found"),))
    call.trailers = (("seen", dict(call.metadata)["name"]),)
    assert call.peer.startswith("ipv4:127.0.0.1:")
    assert call.remaining() is not None
    return raw.upper()


@pytest.fixture
def cancelled() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def channel(cancelled: asyncio.Event) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with three methods."""
    ERRORS.clear()
    router = Router()
    router.unary("/a.B/Now", lambda raw, _call: raw)
    router.unary("/a.B/Answer", _answer)
    router.stream("/a.B/Echo", lambda call: _Echo(call, cancelled))
    server = GrpcioServer(
        router, max_message_bytes=1000, on_error=lambda path, error: ERRORS.append((path, error))
    )
    address = f"127.0.0.1:{free_port()}"
    await server.listen(address, None)
    async with grpc.aio.insecure_channel(address) as opened:
        yield opened
    await server.drain(1)


async def test_unary_calls_carry_metadata_and_trailers(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/a.B/Now")(b"x") == b"x"
    call = channel.unary_unary("/a.B/Answer")(
        b"x", timeout=TIMEOUT_SECONDS, metadata=[("name", "iris")]
    )
    assert await call == b"X"
    assert dict(await call.trailing_metadata()) == {"seen": "iris"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/a.B/Answer", b"no", grpc.StatusCode.NOT_FOUND, "not_found"),
        ("/a.B/Answer", b"bug", grpc.StatusCode.INTERNAL, None),
        ("/a.B/Unknown", b"", grpc.StatusCode.UNIMPLEMENTED, None),
        ("/a.B/Now", b"x" * 2000, grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    ],
)
async def test_failures_have_a_status_and_a_code(
    channel: grpc.aio.Channel, path: str, body: bytes, status: grpc.StatusCode, code: str | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await channel.unary_unary(path)(body, timeout=TIMEOUT_SECONDS)
    assert failed.value.code() is status
    assert dict(failed.value.trailing_metadata()).get("slipstream-code") == code
    bugs = [(path, type(error)) for path, error in ERRORS]
    assert bugs == ([("/a.B/Answer", ZeroDivisionError)] if body == b"bug" else [])


async def test_a_stream_answers_and_ends_with_trailers(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/a.B/Echo")(timeout=TIMEOUT_SECONDS)
    for message in (b"1", b"2"):
        await call.write(message)
    await call.done_writing()
    assert [message async for message in call] == [b"1", b"1", b"2", b"2"]
    assert dict(await call.trailing_metadata()) == {"count": "2"}


async def test_a_handler_can_fail_its_stream(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/a.B/Echo")(timeout=TIMEOUT_SECONDS)
    await call.write(b"fail")
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.ABORTED
    assert dict(await call.trailing_metadata()) == {"slipstream-code": "gone"}


async def test_a_client_that_leaves_cancels_the_handler(
    channel: grpc.aio.Channel, cancelled: asyncio.Event
) -> None:
    call = channel.stream_stream("/a.B/Echo")(timeout=TIMEOUT_SECONDS)
    await call.write(b"hold")
    assert await call.read() == b"hold"
    call.cancel()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await cancelled.wait()


async def test_a_port_in_use_is_an_error() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = GrpcioServer(Router(), max_message_bytes=1000, on_error=lambda *_: None)
    with pytest.raises(OSError, match=str(port)):
        await server.listen(f"127.0.0.1:{port}", None)
    listener.close()
