"""One client's connection, as the server has it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from transport import frames
from transport.addresses import peer_name
from transport.exchanges import StreamExchange, UnaryExchange
from transport.headers import NO_TABLE, HeaderReader
from transport.http2 import LARGEST_STREAM_ID, ErrorCode, PeerError
from transport.limits import Limits
from transport.link import Link
from transport.loiterers import Loiterers
from transport.requests import (
    RESPONSE_BLOCK,
    RequestHead,
    http_refusal_block,
    parse_request,
    trailers_block,
)
from transport.router import Route, Router
from transport.status import RpcError, Status, StatusCode
from transport.streams import BaseStream
from transport.vigil import Vigil

_DRAIN_PING = b"drained?"
_SHUTTING_DOWN = RpcError(StatusCode.UNAVAILABLE, "the server is shutting down")


class Host(Protocol):
    """What a connection needs of its server."""

    router: Router

    def admit(self, link: ServerLink) -> bool:
        """Take a connection in, unless there are too many."""
        ...

    def dismiss(self, link: ServerLink) -> None:
        """Forget a connection."""

    def report(self, path: str, error: BaseException) -> None:
        """Tell whoever is responsible of a handler's bug."""


class ServerLink(Link):
    """One client's connection."""

    def __init__(self, host: Host, limits: Limits) -> None:
        super().__init__(limits, is_server=True)
        self.peer = ""
        self._host = host
        self._reader = HeaderReader(parse_request, max_header_bytes=limits.max_header_bytes)
        self._last_id = 0
        self._last_taken = LARGEST_STREAM_ID
        self._draining = False
        self._vigil: Vigil | None = None
        self.idle_since = asyncio.get_running_loop().time()
        """When its last call was over, on the clock of the event loop."""
        self._loiterers = Loiterers(self)
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in."""
        self.peer = peer_name(transport.get_extra_info("peername"))
        if self._host.admit(self):
            super().connection_made(transport)
            self._loiterers.watch(self.timers)
        else:
            self.failure = _SHUTTING_DOWN
            super().connection_made(transport)
            self.transport.abort()

    def linger(self, seconds: float) -> None:
        """Stay awake for what the client may send next.

        With TLS it is not for us to read the socket or to write to it: sleep may come.
        """
        if self._vigil is None:
            if self.transport.get_extra_info("sslcontext") is not None:
                return
            self._vigil = Vigil(self.transport, self.outbox, self.data_received)
        self._vigil.keep(seconds)

    def on_block(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Take the beginning of a call, or the end of its client's half."""
        head = self._reader.read(block)
        stream = self.streams.get(stream_id)
        if stream is not None:
            if ended and not head.is_request:
                stream.take_data(b"", 0, 0, True)
            else:
                stream.abort(ErrorCode.PROTOCOL_ERROR, "HEADERS within a call")
        elif stream_id > self._last_id and stream_id % 2:
            self._last_id = stream_id
            self.admit_call(stream_id, head, ended)
        elif head.is_request or not stream_id % 2:
            text = f"stream {stream_id} opened after {self._last_id}"
            raise PeerError(ErrorCode.PROTOCOL_ERROR, text)
        else:
            self.patience.bear("trailers on closed streams")

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:  # noqa: ARG002
        """The client makes no new call: close when its last one is over."""
        self._draining = True
        self._close_if_idle()

    def on_pong(self, payload: bytes) -> None:
        """The client has seen our GOAWAY: what it opened before that has all arrived."""
        if payload == _DRAIN_PING and self._draining:
            self._last_taken = self._last_id
            self.outbox.put(frames.goaway(self._last_id, ErrorCode.NO_ERROR))
            self._close_if_idle()

    def on_end(self, reason: RpcError) -> None:  # noqa: ARG002
        """Leave the server."""
        self._host.dismiss(self)

    def gone(self, stream: BaseStream) -> None:
        """Forget a call."""
        super().gone(stream)
        if not self.streams:
            self.idle_since = asyncio.get_running_loop().time()
        if self._draining:
            self._close_if_idle()

    def is_idle(self, stream_id: int) -> bool:
        """Whether the stream was never opened; we open none."""
        return stream_id % 2 == 0 or stream_id > self._last_id

    def last_peer_stream(self) -> int:
        """Return the last stream that was opened."""
        return self._last_id

    def header_frame(self, stream_id: int, block: bytes, *, ended: bool) -> bytes:
        """Return the frame that carries a header block; to be sent in the order of the calls."""
        if not self._answered:
            self._answered = True
            block = NO_TABLE + block
        return frames.headers(
            stream_id, block, ended=ended, max_frame_bytes=self.outbox.max_frame_bytes
        )

    def report(self, path: str, error: BaseException) -> None:
        """Log a handler's bug."""
        self._host.report(path, error)

    def drain(self) -> None:
        """Announce the end; close when the calls are over."""
        if self.failure is None and not self._draining:
            self._draining = True
            self.outbox.put(frames.goaway(LARGEST_STREAM_ID, ErrorCode.NO_ERROR))
            self.outbox.put(frames.ping(_DRAIN_PING))

    def shut(self) -> None:
        """End every call with UNAVAILABLE, and close."""
        if self.failure is not None:
            return
        self.outbox.put(frames.goaway(self._last_id, ErrorCode.NO_ERROR))
        for stream in list(self.streams.values()):
            if isinstance(stream, UnaryExchange | StreamExchange):
                stream.stop()
                stream.conclude(_SHUTTING_DOWN.status)
        self.close(_SHUTTING_DOWN)

    def admit_call(self, stream_id: int, head: RequestHead, ended: bool) -> None:
        """Begin a call, or say why not."""
        if stream_id > self._last_taken or len(self.streams) >= self.limits.max_concurrent_streams:
            self.patience.bear("calls past the limit")
            self.outbox.put(frames.reset(stream_id, ErrorCode.REFUSED_STREAM))
            return
        if head.malformed or not head.is_request:
            self.patience.bear("malformed requests")
            self.outbox.put(frames.reset(stream_id, ErrorCode.PROTOCOL_ERROR))
            return
        route = self._host.router.find(head.path)
        if head.http_refusal is not None:
            self.refuse(stream_id, http_refusal_block(head.http_refusal), ended)
        elif head.error:
            self.refuse(stream_id, only_status(StatusCode.INTERNAL, head.error), ended)
        elif route is None:
            text = f"no method {head.path[:200]}"
            self.refuse(stream_id, only_status(StatusCode.UNIMPLEMENTED, text), ended)
        else:
            exchange = self._exchange(stream_id, head, route)
            if ended:
                exchange.take_data(b"", 0, 0, True)

    def _exchange(self, stream_id: int, head: RequestHead, route: Route) -> BaseStream:
        if route.unary is not None:
            unary = UnaryExchange(self, stream_id, head, route.unary)
            self.streams[stream_id] = unary
            return unary
        assert route.stream is not None
        stream = StreamExchange(self, stream_id, head)
        self.streams[stream_id] = stream
        stream.start(route.stream)
        return stream

    def refuse(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Answer a call with nothing but a header block."""
        self.outbox.put(self.header_frame(stream_id, block, ended=True))
        if not ended:
            self.outbox.put(frames.reset(stream_id, ErrorCode.NO_ERROR))

    def _close_if_idle(self) -> None:
        if not self.streams and self.failure is None:
            self.close(_SHUTTING_DOWN)


def only_status(code: StatusCode, message: str) -> bytes:
    """Return the block of an answer that is nothing but a status."""
    return RESPONSE_BLOCK + trailers_block(Status(code, message))
