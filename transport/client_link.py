"""The connection to a server, below `Connection`."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from transport import frames
from transport.calls import ClientStream
from transport.headers import NO_TABLE, HeaderReader
from transport.http2 import LARGEST_STREAM_ID, ErrorCode, PeerError, Setting, error_name
from transport.limits import Limits
from transport.link import Link
from transport.requests import parse_response, request_block
from transport.status import RpcError, StatusCode
from transport.streams import BaseStream


class ClientLink(Link):
    """The connection below `Connection`."""

    def __init__(self, limits: Limits, authority: str, on_drain: Callable[[], None] | None) -> None:
        super().__init__(limits, is_server=False)
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[RpcError] = self.loop.create_future()
        self.blocks: dict[str, bytes] = {}
        self.refusal: RpcError | None = RpcError(StatusCode.UNAVAILABLE, "not connected yet")
        """Why no new call is taken."""
        self._authority = authority
        self._on_drain = on_drain
        self._reader = HeaderReader(parse_response, max_header_bytes=limits.max_header_bytes)
        self._next_id = 1
        self._max_streams: float = math.inf
        self._queue: deque[ClientStream] = deque()

    @property
    def in_flight(self) -> int:
        """How many calls are not over."""
        return len(self.streams) + len(self._queue)

    def new_block(self, path: str) -> bytes:
        """Return, and remember, the header block that calls `path`."""
        block = request_block(path, self._authority)
        self.blocks[path] = block
        return block

    def open(self, stream: ClientStream) -> None:
        """Open a stream, now or when the server takes one more.

        Raises:
            RpcError: UNAVAILABLE.
        """
        if self.refusal is not None:
            raise RpcError(self.refusal.code, self.refusal.message)
        if len(self.streams) >= self._max_streams:
            self._queue.append(stream)
        else:
            self._open_now(stream)

    def gone(self, stream: BaseStream) -> None:
        """Forget a stream, and open the next one that waits."""
        if stream.id:
            super().gone(stream)
            self._open_waiting()
        elif stream in self._queue:
            self._queue.remove(stream)  # type: ignore[arg-type]  # a stream without id is ours
        if self.refusal is not None and not self.in_flight and self.failure is None:
            self.close(self.refusal)

    def shut(self) -> None:
        """Say goodbye and close."""
        if self.failure is None:
            self.outbox.put(frames.goaway(0, ErrorCode.NO_ERROR))
            self.close(RpcError(StatusCode.CANCELLED, "the connection was closed on our side"))

    def on_settings(self, values: dict[int, int]) -> None:
        """Do as the server says."""
        super().on_settings(values)
        if Setting.MAX_CONCURRENT_STREAMS in values:
            self._max_streams = values[Setting.MAX_CONCURRENT_STREAMS]
        if not self.ready.done():
            self.refusal = None
            self.ready.set_result(None)
        self._open_waiting()

    def on_block(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Take the beginning or the end of an answer."""
        head = self._reader.read(block)
        stream = self.streams.get(stream_id)
        if isinstance(stream, ClientStream):
            stream.on_head(head, ended)
        elif self.is_idle(stream_id):
            text = f"HEADERS on stream {stream_id}, which was never opened"
            raise PeerError(ErrorCode.PROTOCOL_ERROR, text)

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:
        """Make no new call; those that the server has not seen fail, and may be made elsewhere."""
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

    def on_end(self, reason: RpcError) -> None:
        """Tell everybody that the connection is over."""
        self.refusal = reason
        for stream in list(self._queue):
            stream.on_lost(reason)
        if not self.ready.done():
            self.ready.set_exception(reason)
            self.ready.exception()  # nobody may be waiting any more
        if not self.closed.done():
            self.closed.set_result(reason)

    def is_idle(self, stream_id: int) -> bool:
        """Whether the stream was never opened; servers open none."""
        return stream_id % 2 == 0 or stream_id >= self._next_id

    def _open_waiting(self) -> None:
        while self._queue and len(self.streams) < self._max_streams and self.refusal is None:
            self._open_now(self._queue.popleft())

    def _open_now(self, stream: ClientStream) -> None:
        stream_id = self._next_id
        block = NO_TABLE + stream.block if stream_id == 1 else stream.block
        self._next_id += 2
        self.streams[stream_id] = stream
        self.outbox.put(
            frames.headers(
                stream_id, block, ended=False, max_frame_bytes=self.outbox.max_frame_bytes
            )
        )
        stream.opened(stream_id)
        if stream_id > LARGEST_STREAM_ID - 2:
            self.on_goaway(stream_id, ErrorCode.NO_ERROR, "all stream numbers are used")
