"""A service for the tests to call, a client, and a peer that sends HTTP/2 frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from hpack import Encoder

from tests.timing import TIMEOUT_SECONDS
from transport import (
    ClientTls,
    Router,
    RpcError,
    StatusCode,
    StreamCall,
    UnaryCall,
    connect,
    frames,
    http2,
)

ECHO, SLOW, FAIL, BUG = "/test.T/Echo", "/test.T/Slow", "/test.T/Fail", "/test.T/Bug"
TRAILERS = (("why", "so"), ("why-bin", b"\x01"), ("grpc-retry-pushback-ms", "250"))
"""Trailers of FAIL's error."""
STREAM, FLOOD = "/test.T/Stream", "/test.T/Flood"


Listen = Callable[..., Awaitable[str]]
"""Starts a TLS server and returns its address."""


class HandlerLog:
    """What the handlers were called with."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.slow = asyncio.Event()
        self.calls: list[StreamCall] = []
        self.metadata: list[object] = []
        self.remaining: list[float | None] = []
        self.batches: list[int] = []


class EchoStream:
    def __init__(self, call: StreamCall, handler_log: HandlerLog) -> None:
        self.call, self.handler_log = call, handler_log
        handler_log.calls.append(call)

    def messages(self, messages: list[bytes]) -> None:
        self.handler_log.batches.append(len(messages))
        for message in messages:
            self.call.send(message)

    def half_closed(self) -> None:
        self.call.finish(trailers=(("plain", "text"), ("raw-bin", b"\x00\xff")))

    def cancelled(self) -> None:
        self.handler_log.cancelled.set()


class FloodStream(EchoStream):
    """Answers each message with 1 MiB."""

    def messages(self, messages: list[bytes]) -> None:
        for _ in messages:
            self.call.send(b"x" * 2**20)


def router(handler_log: HandlerLog) -> Router:
    def echo(message: bytes, call: UnaryCall) -> bytes:
        handler_log.metadata.append(call.metadata)
        handler_log.remaining.append(call.remaining())
        return message

    async def slow(message: bytes, _call: UnaryCall) -> bytes:
        handler_log.slow.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            handler_log.cancelled.set()
            raise
        return message

    def fail(_message: bytes, _call: UnaryCall) -> bytes:
        raise RpcError(StatusCode.NOT_FOUND, "né 100 %\n", TRAILERS)

    def bug(_message: bytes, _call: UnaryCall) -> bytes:
        raise KeyError("secret")

    routes = Router()
    routes.unary(ECHO, echo)
    routes.unary(SLOW, slow)
    routes.unary(FAIL, fail)
    routes.unary(BUG, bug)
    routes.stream(STREAM, lambda call: EchoStream(call, handler_log))
    routes.stream(FLOOD, lambda call: FloodStream(call, handler_log))
    return routes


def request_headers(path: str = ECHO, *more: tuple[str, str]) -> bytes:
    """Return a header block that does not change the dynamic table."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "t")]
    fields += [("te", "trailers"), ("content-type", "application/grpc"), *more]
    return Encoder().encode([(name, value, True) for name, value in fields])


def headers(stream_id: int, path: str = ECHO, *more: tuple[str, str], flags: int = 0x4) -> bytes:
    return frames.frame(http2.HEADERS, flags, stream_id, request_headers(path, *more))


def message(payload: bytes) -> bytes:
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.frame(http2.DATA, flags, stream_id, payload)


class RawPeer:
    """A client (or, with the streams of an accepted connection, a server) that sends anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def dial(cls, address: str, *, settings: dict[int, int] | None = None) -> RawPeer:
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        peer = cls(reader, writer)
        peer.send(http2.PREFACE, frames.settings(settings or {}))
        return peer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def frame(self) -> tuple[int, int, int, bytes]:
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def until(self, *kinds: int) -> tuple[int, int, int, bytes]:
        while True:
            frame = await asyncio.wait_for(self.frame(), TIMEOUT_SECONDS)
            if frame[0] in kinds:
                return frame

    async def goaway(self) -> int:
        """Wait for the end of the connection; return the code of its last GOAWAY, or -1."""
        code = -1
        try:
            while True:
                kind, _, _, payload = await asyncio.wait_for(self.frame(), TIMEOUT_SECONDS)
                if kind == http2.GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return code

    async def flood(self, pieces: Iterable[bytes]) -> int:
        """Send until the server closes the connection; return the code of its GOAWAY."""
        goaway = asyncio.ensure_future(self.goaway())
        try:
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                if goaway.done():
                    break
        except ConnectionError:
            pass
        return await goaway

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def echo_once(address: str, tls: ClientTls, message: bytes = b"hello") -> bytes:
    """Return the answer to one call on a new connection."""
    connection = await connect(address, tls=tls)
    try:
        return await connection.unary(ECHO, message, timeout=TIMEOUT_SECONDS)
    finally:
        connection.close()


def without_scheme(address: str) -> str:
    """Return an address without `grpcs://`."""
    return address.removeprefix("grpcs://")
