"""One HTTP/2 connection on the event loop: what client and server have in common."""

from __future__ import annotations

import asyncio
import socket
import sys
from abc import abstractmethod
from collections import OrderedDict
from typing import cast

from transport import frames
from transport.control_frames import ControlFrameHandler
from transport.flood_guard import FloodGuard
from transport.frames import FrameParser
from transport.http2 import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
    PREFACE,
    Http2ErrorCode,
    PeerError,
    Setting,
    error_name,
)
from transport.limits import GrpcLimits
from transport.messages import BufferBudget
from transport.read_turns import LARGE_READ_BYTES, read_on_in_turn
from transport.status import RpcError, StatusCode
from transport.streams import BaseStream
from transport.timers import Keepalive, Timers
from transport.write_queue import WriteQueue

_CLOSE_SECONDS = 1.0
"""Time for the peer to read our GOAWAY before the socket is aborted."""
_KEEPALIVE_PING = b"alive?\0\0"
_SEND_BUFFER = 2 * 1024 * 1024
"""SO_SNDBUF of a Unix socket: a tensor fits, so it takes one write and wakes its reader once.
The kernel may grant less (net.core.wmem_max). It sizes TCP's buffers itself."""


class Http2Connection(ControlFrameHandler, asyncio.Protocol):
    """Reads and writes one connection; the two subclasses open its streams.

    A peer that violates the protocol or a limit gets GOAWAY and loses the connection with every
    call on it. Nothing that it sends raises out of here.

    Args:
        limits: of this connection.
        is_server: whether the peer opens the streams.
    """

    write_queue: WriteQueue

    def __init__(self, limits: GrpcLimits, *, is_server: bool) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.streams: dict[int, BaseStream] = {}
        self.readable: list[BaseStream] = []
        """Streams with something to deliver at the end of the current read."""
        self.buffer_budget = BufferBudget(max(limits.max_buffered_bytes, limits.max_message_bytes))
        self.withheld = 0
        """Bytes that paused streams have received and not yet given back to the peer's window."""
        self.failure: RpcError | None = None
        """Why the connection is unusable."""
        self._reset_streams: OrderedDict[int, None] = OrderedDict()
        """Ids of streams that we reset, the last ones: the peer may not know of it yet."""
        self.lost: asyncio.Future[None] = self.loop.create_future()
        """Done when the socket is closed."""
        super().__init__(
            FloodGuard(
                limits,
                self.loop.time,
                received_bytes=lambda: self._granted_bytes - self._receive_window,
                opened_calls=self.opened_calls,
            ),
            max_block_bytes=limits.max_header_block_bytes,
        )
        self._is_server = is_server
        self._parser = FrameParser(
            self.on_data,
            self.handle_frame,
            max_frame_bytes=limits.max_frame_bytes,
            max_header_block_bytes=limits.max_header_block_bytes,
            expect_preface=is_server,
        )
        self._receive_window = limits.connection_window
        self._granted_bytes = limits.connection_window
        """What the peer was allowed to send since the connection began."""
        self._refill_below = limits.connection_window // 2
        self.timers = Timers()
        self._keepalive = self._new_keepalive(limits.keepalive_seconds or 0.0)

    def start_keepalive(self, seconds: float) -> None:
        """Ping the peer after so many seconds of silence, close after as many again."""
        if self.failure is None:
            self._keepalive = self._new_keepalive(seconds)
            self._keepalive.start(self.timers)

    # called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our SETTINGS."""
        self.transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.write_queue = WriteQueue(
            self.transport,
            max_queued_bytes=self.limits.max_queued_bytes if self._is_server else sys.maxsize,
            on_overflow=lambda: self.fail(
                PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, "too much unread data is queued")
            ),
        )
        self.write_queue.put(_handshake(self.limits, is_server=self._is_server))
        self.write_queue.flush()
        self.timers.set(
            "handshake",
            self.limits.handshake_seconds,
            lambda: self.abort("the peer's SETTINGS did not arrive in time"),
        )
        if self.limits.keepalive_seconds is not None:
            self._keepalive.start(self.timers)

    def data_received(self, data: bytes) -> None:
        """Parse everything that arrived, deliver it, and write everything that this caused."""
        write_queue = self.write_queue
        write_queue.scheduled = True  # whatever is put meanwhile leaves in the flush below
        self._keepalive.received = True
        try:
            self._parser.feed(data)
            readable = self.readable
            if readable:
                self.readable = []
                for stream in readable:
                    stream.deliver()
        except PeerError as error:
            self.fail(error)
        if self._receive_window < self._refill_below:
            self._refill()
        write_queue.flush()
        if len(data) >= LARGE_READ_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()
            if self._is_server:
                read_on_in_turn(self.loop, self._read_on)
            else:  # small replies of the server may follow: they do not wait for those who upload
                self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        """Close: gRPC does not use half-closed connections."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End every call."""
        self.timers.clear_all()
        reason = f"the connection was lost: {exc}" if exc else "the peer closed the connection"
        self._end(RpcError(StatusCode.UNAVAILABLE, reason))
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Stop writing: the socket's buffer is full."""
        self.write_queue.pause()
        self.timers.set(
            "stall",
            self.limits.stall_seconds,
            lambda: self.abort("the peer does not read its socket"),
        )

    def resume_writing(self) -> None:
        """Resume writing: the peer has read."""
        self.timers.clear("stall")
        self.write_queue.resume()

    # called for each frame

    def on_data(self, stream_id: int, data: bytes, start: int, end: int, ended: bool) -> None:
        """Handle part of a DATA frame: `data[start:end]`."""
        if self._open_headers or not self.settings_received:
            raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, "unexpected DATA")
        self._receive_window -= end - start
        if self._receive_window < 0:
            raise _window_exceeded()
        if start == end and not ended:
            self.flood_guard.count("empty DATA")
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_data(data, start, end, ended)
        else:
            self._check_opened(stream_id, "DATA")
            self.on_closed_stream(stream_id, "DATA")

    def on_padding(self, stream_id: int, size: int) -> None:
        """Count padding in flow control."""
        self._receive_window -= size
        if self._receive_window < 0:
            raise _window_exceeded()
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_padding(size)

    def on_reset(self, stream_id: int, code: int) -> None:
        """End a stream that the peer reset."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.flood_guard.count_reset("RST_STREAM")
            stream.on_reset(code)
        else:
            self._check_opened(stream_id, "RST_STREAM")
            self.flood_guard.count("RST_STREAM on closed streams")

    def on_settings(self, values: dict[int, int]) -> None:
        """Apply the peer's settings and acknowledge them."""
        self.timers.clear("handshake")
        window = values.get(Setting.INITIAL_WINDOW_SIZE)
        if window is not None:
            # RFC 9113, 6.9.2: a new initial window changes that of open streams, too
            change = window - self.write_queue.initial_window
            self.write_queue.initial_window = window
            for stream in list(self.streams.values()):
                self._widen(stream, change)
        size = values.get(Setting.MAX_FRAME_SIZE)
        if size is not None:
            self.write_queue.max_frame_bytes = size
        self.write_queue.put(frames.SETTINGS_ACK)

    def on_ping(self, payload: bytes) -> None:
        """Acknowledge a PING."""
        self.write_queue.put(frames.ping(payload, ack=True))

    def on_pong(self, payload: bytes) -> None:
        """Ignore the payload: `Keepalive` counts any byte received."""

    def on_window_update(self, stream_id: int, increment: int) -> None:
        """Send what waited for a wider window."""
        if not stream_id:
            if self.write_queue.window + increment > MAX_WINDOW:
                raise PeerError(Http2ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1")
            if self.write_queue.is_useless(increment):
                self.flood_guard.count("tiny WINDOW_UPDATE")
            self.write_queue.widen(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is not None:
            if stream.is_useless(increment):
                self.flood_guard.count("tiny WINDOW_UPDATE")
            self._widen(stream, increment)
        else:
            self._check_opened(stream_id, "WINDOW_UPDATE")

    # for subclasses and streams

    @abstractmethod
    def is_unopened(self, stream_id: int) -> bool:
        """Whether the stream was never opened ("idle" in RFC 9113)."""

    @abstractmethod
    def on_close(self, reason: RpcError) -> None:
        """Release the connection; may be called twice: when we close it, and when it is lost."""

    def forget_stream(self, stream: BaseStream) -> None:
        """Remove a stream that is over."""
        self.streams.pop(stream.id, None)

    def reset_stream(self, stream_id: int, code: Http2ErrorCode) -> None:
        """Send RST_STREAM; what the peer sends on the stream after that is dropped."""
        self._reset_streams[stream_id] = None
        if len(self._reset_streams) > self.limits.max_concurrent_streams:
            self._reset_streams.popitem(last=False)
        self.write_queue.put(frames.reset(stream_id, code))

    def on_closed_stream(self, stream_id: int, what: str) -> None:
        """Drop a frame of a stream that is over; reset the stream if the peer knew that it was.

        RFC 9113, 5.1 and 6.1: only an endpoint that has sent RST_STREAM receives such frames from
        a peer that keeps the rules.
        """
        self.flood_guard.count(f"{what} on closed streams")
        if stream_id not in self._reset_streams:
            self.reset_stream(stream_id, Http2ErrorCode.STREAM_CLOSED)

    @abstractmethod
    def opened_calls(self) -> int:
        """Return how many streams were opened since the connection began."""

    def last_peer_stream(self) -> int:
        """Return the id of the last stream that the peer opened."""
        return 0

    def fail(self, error: PeerError) -> None:
        """Send GOAWAY and end the connection with every call on it."""
        if self.failure is not None:
            return
        self.write_queue.put(frames.goaway(self.last_peer_stream(), error.code, error.message))
        reason = f"the peer violated the protocol: {error_name(error.code)}: {error.message}"
        self.close(RpcError(StatusCode.UNAVAILABLE, reason))

    def close(self, reason: RpcError) -> None:
        """Write what is ready, close the socket, and end every call with `reason`."""
        if self.failure is not None:
            return
        self.failure = reason
        self.write_queue.flush()
        self.transport.close()
        self.timers.clear_all()
        self.timers.set("close", _CLOSE_SECONDS, self.transport.abort)
        self._end(reason)

    def abort(self, text: str) -> None:
        """Close the socket without writing anything more, and end every call."""
        self.close(RpcError(StatusCode.UNAVAILABLE, text))
        self.transport.abort()

    def release(self, size: int) -> None:
        """Let the peer send `size` bytes again that a paused stream had withheld."""
        self.withheld -= size
        if self._receive_window < self._refill_below:
            self._refill()

    def _new_keepalive(self, seconds: float) -> Keepalive:
        return Keepalive(
            seconds,
            probe=lambda: self.write_queue.put(frames.ping(_KEEPALIVE_PING)),
            on_timeout=lambda: self.abort("the peer does not answer keepalive pings"),
        )

    def _end(self, reason: RpcError) -> None:
        if self.failure is None:
            self.failure = reason
        self.write_queue.close()
        for stream in list(self.streams.values()):
            stream.on_lost(self.failure)
        self.on_close(self.failure)

    def _refill(self) -> None:
        increment = self.limits.connection_window - self._receive_window - self.withheld
        if increment > 0:
            self._receive_window += increment
            self._granted_bytes += increment
            self.write_queue.put(frames.window_update(0, increment))

    def _widen(self, stream: BaseStream, change: int) -> None:
        if stream.window + change > MAX_WINDOW:
            text = "the peer opened a window above 2^31-1"
            stream.abort(Http2ErrorCode.FLOW_CONTROL_ERROR, text)
        else:
            stream.widen(change)

    def _check_opened(self, stream_id: int, what: str) -> None:
        if not stream_id or self.is_unopened(stream_id):
            text = f"{what} on stream {stream_id}, which was never opened"
            raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, text)


def _window_exceeded() -> PeerError:
    return PeerError(Http2ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window allows")


def _handshake(limits: GrpcLimits, *, is_server: bool) -> bytes:
    """Return our first bytes: a client's preface, our SETTINGS, and a wider connection window."""
    values: dict[int, int] = {
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
        Setting.MAX_FRAME_SIZE: limits.max_frame_bytes,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
    }
    if is_server:
        values[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
    else:
        values[Setting.ENABLE_PUSH] = 0
    window = frames.window_update(0, limits.connection_window - DEFAULT_WINDOW)
    return (b"" if is_server else PREFACE) + frames.settings(values) + window
