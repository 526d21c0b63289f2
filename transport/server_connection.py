"""One client's HTTP/2 connection on the server side: opens streams, drains, closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from transport import frames
from transport.addresses import peer_name
from transport.busy_poll import BusyPoll
from transport.call_headers import (
    RESPONSE_BLOCK,
    RequestHeaders,
    http_refusal_block,
    oversized_request,
    parse_request,
    trailers_block,
)
from transport.header_compression import ZERO_TABLE_SIZE, HeaderDecoder
from transport.http2 import MAX_STREAM_ID, Http2ErrorCode, PeerError
from transport.http2_connection import Http2Connection
from transport.limits import GrpcLimits
from transport.router import MethodHandler, Router
from transport.server_streams import (
    SizedStreamCall,
    SizedUnaryCall,
    StreamCall,
    UnaryCall,
)
from transport.status import Metadata, RpcError, Status, StatusCode
from transport.streams import BaseStream
from transport.timers import Timers

Guard = Callable[[str, Metadata], RpcError | None]
"""Takes a call's method path and metadata; returns the error that rejects the call, or None."""

_DRAIN_PING = b"drained?"
_SHUTTING_DOWN = RpcError(StatusCode.UNAVAILABLE, "the server is shutting down")
_REAPER_TIMER = "idle connection reaper"
_OVERSIZED_HEADERS_COST = 300
"""As many useless frames: to decode the largest block takes as long as to handle hundreds."""
_MESSAGE_TIMEOUT = Status(
    StatusCode.DEADLINE_EXCEEDED, "the request message did not arrive in time"
)


class Http2ServerConnection(Http2Connection):
    """One client's connection.

    Args:
        router: the methods that clients may call.
        limits: of this connection.
        guard: checks each call's headers; a rejected call is answered before its messages are read.
        on_open: registers the connection; False rejects it, because there are too many.
        on_close: unregisters the connection.
        on_error: reports an exception that a handler raised.
    """

    def __init__(
        self,
        router: Router,
        limits: GrpcLimits,
        *,
        guard: Guard | None,
        on_open: Callable[[Http2ServerConnection], bool],
        on_close: Callable[[Http2ServerConnection], None],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(limits, is_server=True)
        self.peer = ""
        self.client_host = ""
        """The client's IP address; empty at a Unix socket."""
        self.report_error = on_error
        self.idle_since = self.loop.time()
        """When its last call ended, on the clock of the event loop."""
        self._router = router
        self._guard = guard
        self._on_open = on_open
        self._on_close = on_close
        self._decoder = HeaderDecoder(parse_request, oversized_request, limits)
        self._last_stream_id = 0
        self._last_accepted_id = MAX_STREAM_ID
        self._draining = False
        self._busy_poll: BusyPoll | None = None
        self._reaper = IdleConnectionReaper(self)
        self._sent_headers = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection and send our SETTINGS."""
        name = transport.get_extra_info("peername")
        self.peer = peer_name(name)
        self.client_host = name[0] if isinstance(name, tuple) else ""
        if self._on_open(self):
            super().connection_made(transport)
            self._reaper.start(self.timers)
        else:
            self.failure = _SHUTTING_DOWN
            super().connection_made(transport)
            self.transport.abort()

    def busy_poll(self, seconds: float) -> None:
        """Poll the socket for up to `seconds` for the client's next message; see `BusyPoll`.

        Does nothing on a TLS connection: only the TLS layer may read and write its socket.
        """
        if self._busy_poll is None:
            if self.transport.get_extra_info("sslcontext") is not None:
                return
            self._busy_poll = BusyPoll(self.transport, self.write_queue, self.data_received)
        self._busy_poll.spin(seconds)

    def on_headers(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Start a call, or end the client's half of one."""
        headers = self._decoder.decode(block)
        if headers.oversized:
            self.flood_guard.count("oversized headers", _OVERSIZED_HEADERS_COST)
        stream = self.streams.get(stream_id)
        if stream is not None:
            if ended and not headers.is_request and not headers.malformed:
                stream.on_data(b"", 0, 0, True)
            else:
                stream.abort(Http2ErrorCode.PROTOCOL_ERROR, "HEADERS within a call")
        elif stream_id > self._last_stream_id and stream_id % 2:
            self._last_stream_id = stream_id
            self._start_call(stream_id, headers, ended)
        elif headers.is_request or not stream_id % 2:
            text = f"stream {stream_id} opened after {self._last_stream_id}"
            raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, text)
        else:
            self.on_closed_stream(stream_id, "trailers")

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:  # noqa: ARG002
        """Close the connection when the client's last call is over: it makes no new one."""
        self._draining = True
        self._close_if_idle()

    def on_pong(self, payload: bytes) -> None:
        """Finish draining: every call that the client opened before our GOAWAY has arrived."""
        if payload == _DRAIN_PING and self._draining:
            self._last_accepted_id = self._last_stream_id
            self.write_queue.put(frames.goaway(self._last_stream_id, Http2ErrorCode.NO_ERROR))
            self._close_if_idle()

    def on_close(self, reason: RpcError) -> None:  # noqa: ARG002
        """Unregister the connection."""
        self._on_close(self)

    def forget_stream(self, stream: BaseStream) -> None:
        """Remove a stream that is over."""
        super().forget_stream(stream)
        if not self.streams:
            self.idle_since = self.loop.time()
        if self._draining:
            self._close_if_idle()

    def is_unopened(self, stream_id: int) -> bool:
        """Whether the stream was never opened; a server opens none itself."""
        return stream_id % 2 == 0 or stream_id > self._last_stream_id

    def opened_calls(self) -> int:
        """Return how many calls the client opened since the connection began."""
        return (self._last_stream_id + 1) // 2

    def last_peer_stream(self) -> int:
        """Return the id of the last stream that the client opened."""
        return self._last_stream_id

    def headers_frame(self, stream_id: int, block: bytes, *, ended: bool) -> bytes:
        """Return the frame that carries a header block; frames must be sent in this order."""
        if not self._sent_headers:
            self._sent_headers = True
            block = ZERO_TABLE_SIZE + block
        return frames.headers(
            stream_id, block, ended=ended, max_frame_bytes=self.write_queue.max_frame_bytes
        )

    def drain(self) -> None:
        """Announce the shutdown with GOAWAY; close when the open calls are over.

        The first GOAWAY names no stream, because calls may be on their way to us. The PING behind
        it comes back when the client has read it; then a second GOAWAY names the last stream
        (RFC 9113, 6.8).
        """
        if self.failure is None and not self._draining:
            self._draining = True
            self.write_queue.put(frames.goaway(MAX_STREAM_ID, Http2ErrorCode.NO_ERROR))
            self.write_queue.put(frames.ping(_DRAIN_PING))

    def shutdown(self) -> None:
        """End every call with UNAVAILABLE and close."""
        if self.failure is not None:
            return
        self.write_queue.put(frames.goaway(self._last_stream_id, Http2ErrorCode.NO_ERROR))
        for stream in list(self.streams.values()):
            if isinstance(stream, UnaryCall | StreamCall):
                stream.cancel_handler()
                stream.end_call(_SHUTTING_DOWN.status)
        self.close(_SHUTTING_DOWN)

    def _start_call(self, stream_id: int, headers: RequestHeaders, ended: bool) -> None:
        at_limit = len(self.streams) >= self.limits.max_concurrent_streams
        if stream_id > self._last_accepted_id or at_limit:
            self.flood_guard.count_reset("a call past the limit")
            self.reset_stream(stream_id, Http2ErrorCode.REFUSED_STREAM)
            return
        if headers.oversized:
            text = f"the call's headers exceed {self.limits.max_header_bytes} bytes"
            self._reject(stream_id, _status_block(StatusCode.RESOURCE_EXHAUSTED, text), ended)
            return
        if headers.malformed or not headers.is_request:
            self.flood_guard.count_reset("a malformed request")
            self.reset_stream(stream_id, Http2ErrorCode.PROTOCOL_ERROR)
            return
        if self._guard is not None:
            rejection = self._guard(headers.path, headers.metadata)
            if rejection is not None:
                self.flood_guard.count("rejected calls")
                self._reject(stream_id, _status_block(rejection.code, rejection.message), ended)
                return
        method = self._router.find(headers.path)
        if headers.http_refusal is not None:
            self._reject(stream_id, http_refusal_block(headers.http_refusal), ended)
        elif headers.error:
            self._reject(stream_id, _status_block(StatusCode.INTERNAL, headers.error), ended)
        elif method is None:
            text = f"no method {headers.path[:200]}"
            self._reject(stream_id, _status_block(StatusCode.UNIMPLEMENTED, text), ended)
        else:
            stream = self._open_stream(stream_id, headers, method)
            if ended:
                stream.on_data(b"", 0, 0, True)

    def _open_stream(
        self, stream_id: int, headers: RequestHeaders, method: MethodHandler
    ) -> BaseStream:
        has_length = headers.content_length is not None
        if method.unary is not None:
            unary_class = SizedUnaryCall if has_length else UnaryCall
            unary = unary_class(self, stream_id, headers, method.unary)
            self.streams[stream_id] = unary
            return unary
        assert method.stream is not None
        stream_class = SizedStreamCall if has_length else StreamCall
        stream = stream_class(self, stream_id, headers)
        self.streams[stream_id] = stream
        stream.start(method.stream)
        return stream

    def _reject(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Answer a call with a header block only; nothing that it sends is read."""
        self.write_queue.put(self.headers_frame(stream_id, block, ended=True))
        if not ended:
            self.reset_stream(stream_id, Http2ErrorCode.NO_ERROR)

    def _close_if_idle(self) -> None:
        if not self.streams and self.failure is None:
            self.close(_SHUTTING_DOWN)


class IdleConnectionReaper:
    """Closes a connection that has had no call for `idle_seconds`, and ends late unary calls.

    It checks at intervals, so that no call pays for a timer of its own. What was late at one check
    and still is at the next is ended: a limit may therefore take up to twice its time.
    """

    def __init__(self, connection: Http2ServerConnection) -> None:
        self._connection = connection
        self._late_streams: set[int] = set()
        self._headers_were_open = False

    def start(self, timers: Timers) -> None:
        """Schedule the next check; it is cancelled when the connection clears its timers."""
        limits = self._connection.limits
        intervals = (limits.message_seconds, limits.idle_seconds)
        seconds = min((each for each in intervals if each is not None), default=None)
        if seconds is not None:
            timers.set(_REAPER_TIMER, seconds, lambda: self._check(timers))

    def _check(self, timers: Timers) -> None:
        connection, limits = self._connection, self._connection.limits
        if limits.message_seconds is not None:
            self._end_late_calls()
            if connection.headers_open and self._headers_were_open:
                text = "the rest of a header block did not arrive in time"
                connection.fail(PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text))
                return
            self._headers_were_open = connection.headers_open
        if limits.idle_seconds is not None and not connection.streams:
            idle = connection.loop.time() - connection.idle_since
            if idle >= limits.idle_seconds:
                connection.shutdown()
                return
        self.start(timers)

    def _end_late_calls(self) -> None:
        incomplete = {
            stream_id: stream
            for stream_id, stream in self._connection.streams.items()
            if isinstance(stream, UnaryCall) and not stream.remote_ended
        }
        for stream_id in self._late_streams & incomplete.keys():
            incomplete[stream_id].end_call(_MESSAGE_TIMEOUT)
        self._late_streams = set(incomplete)


def _status_block(code: StatusCode, message: str) -> bytes:
    """Return the block of an answer that consists of a status only."""
    return RESPONSE_BLOCK + trailers_block(Status(code, message))
