"""The HTTP/2 connection on the client side, below `GrpcConnection`."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from transport import frames
from transport.call_headers import oversized_response, parse_response, request_block
from transport.client_stream import ClientStream
from transport.header_compression import ZERO_TABLE_SIZE, HeaderDecoder
from transport.http2 import MAX_STREAM_ID, Http2ErrorCode, PeerError, Setting, error_name
from transport.http2_connection import Http2Connection
from transport.limits import GrpcLimits
from transport.status import RpcError, StatusCode
from transport.streams import BaseStream


class Http2ClientConnection(Http2Connection):
    """A connection to a server."""

    def __init__(
        self, limits: GrpcLimits, authority: str, on_drain: Callable[[], None] | None
    ) -> None:
        super().__init__(limits, is_server=False)
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[RpcError] = self.loop.create_future()
        self.request_blocks: dict[str, bytes] = {}
        """Encoded request headers by method path."""
        self.refusal: RpcError | None = RpcError(StatusCode.UNAVAILABLE, "not connected yet")
        """Why no new call may be made."""
        self._authority = authority
        self._on_drain = on_drain
        self._decoder = HeaderDecoder(parse_response, oversized_response, limits)
        self._next_id = 1
        self._max_streams: float = math.inf
        self._queue: deque[ClientStream] = deque()

    @property
    def in_flight(self) -> int:
        """The number of calls that are not over."""
        return len(self.streams) + len(self._queue)

    def add_request_block(self, path: str) -> bytes:
        """Encode, keep and return the request headers for a method."""
        block = request_block(path, self._authority)
        self.request_blocks[path] = block
        return block

    def open(self, stream: ClientStream) -> None:
        """Open a stream, now or when the server's limit of streams permits.

        Raises:
            RpcError: UNAVAILABLE.
        """
        if self.refusal is not None:
            raise RpcError(self.refusal.code, self.refusal.message)
        if len(self.streams) >= self._max_streams:
            self._queue.append(stream)
        else:
            self._open_now(stream)

    def forget_stream(self, stream: BaseStream) -> None:
        """Remove a stream, and open the next queued one."""
        if stream.id:
            super().forget_stream(stream)
            self._open_queued()
        elif stream in self._queue:
            self._queue.remove(stream)  # type: ignore[arg-type]  # a stream without id is ours
        if self.refusal is not None and not self.in_flight and self.failure is None:
            self.close(self.refusal)

    def shutdown(self) -> None:
        """Send GOAWAY and close; calls in flight end with CANCELLED."""
        if self.failure is None:
            self.write_queue.put(frames.goaway(0, Http2ErrorCode.NO_ERROR))
            self.close(RpcError(StatusCode.CANCELLED, "the connection was closed on our side"))

    def on_settings(self, values: dict[int, int]) -> None:
        """Apply the server's settings; the first ones complete the connection."""
        super().on_settings(values)
        if Setting.MAX_CONCURRENT_STREAMS in values:
            self._max_streams = values[Setting.MAX_CONCURRENT_STREAMS]
        if not self.ready.done():
            self.refusal = None
            self.ready.set_result(None)
        self._open_queued()

    def on_headers(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Handle response headers or trailers."""
        headers = self._decoder.decode(block)
        stream = self.streams.get(stream_id)
        if isinstance(stream, ClientStream):
            stream.on_headers(headers, ended)
        elif self.is_unopened(stream_id):
            text = f"HEADERS on stream {stream_id}, which was never opened"
            raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, text)

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:
        """Make no new call; fail those that the server has not seen: they can be retried safely."""
        why = f"the server closes the connection: {error_name(code)} {text}".rstrip()
        first = self.refusal is None
        self.refusal = RpcError(StatusCode.UNAVAILABLE, why)
        unseen = [stream for number, stream in self.streams.items() if number > last_stream_id]
        for stream in [*self._queue, *unseen]:
            stream.on_lost(self.refusal)
        if self.failure is None and not self.in_flight:
            self.close(self.refusal)
        if first and self._on_drain is not None:
            self._on_drain()

    def on_close(self, reason: RpcError) -> None:
        """Fail the queued calls and complete the futures."""
        self.refusal = reason
        for stream in list(self._queue):
            stream.on_lost(reason)
        if not self.ready.done():
            self.ready.set_exception(reason)
            self.ready.exception()  # marks it as retrieved, in case `connect` has timed out
        if not self.closed.done():
            self.closed.set_result(reason)

    def is_unopened(self, stream_id: int) -> bool:
        """Whether the stream was never opened; servers open none."""
        return stream_id % 2 == 0 or stream_id >= self._next_id

    def opened_calls(self) -> int:
        """Return how many calls were opened since the connection began."""
        return self._next_id // 2

    def _open_queued(self) -> None:
        while self._queue and len(self.streams) < self._max_streams and self.refusal is None:
            self._open_now(self._queue.popleft())

    def _open_now(self, stream: ClientStream) -> None:
        stream_id = self._next_id
        block = ZERO_TABLE_SIZE + stream.block if stream_id == 1 else stream.block
        self._next_id += 2
        self.streams[stream_id] = stream
        self.write_queue.put(
            frames.headers(
                stream_id, block, ended=False, max_frame_bytes=self.write_queue.max_frame_bytes
            )
        )
        stream.on_opened(stream_id)
        if stream_id > MAX_STREAM_ID - 2:
            self.on_goaway(stream_id, Http2ErrorCode.NO_ERROR, "all stream ids are used")
