"""One HTTP/2 connection on the event loop, as far as both sides are alike."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

from transport import frames
from transport.control import ControlFrames
from transport.frames import FrameSplitter
from transport.http2 import LARGEST_WINDOW, ErrorCode, PeerError, Setting, error_name
from transport.introduction import introduction
from transport.limits import Limits, Patience
from transport.messages import Budget
from transport.outbox import Outbox
from transport.status import RpcError, StatusCode
from transport.streams import BaseStream
from transport.timers import Keepalive, Timers

_LINGER_SECONDS = 1.0
"""That a peer has to read its GOAWAY."""
_KEEPALIVE = b"alive?\0\0"
_SEND_BUFFER = 2 * 1024 * 1024
"""Bytes that may lie in a Unix socket: a tensor goes over in one write, and wakes its reader once.
The kernel takes less where net.core.wmem_max says so; for TCP it finds its own size."""
_UNREAD = "too much that the peer does not read"


class Link(asyncio.Protocol):
    """Reads and writes one connection; its two kinds say what streams mean.

    A peer that breaks the protocol or a limit is told GOAWAY and loses this connection, with every
    call on it. Nothing that it sends raises out of here.

    Args:
        limits: of this connection.
        is_server: whether the peer opens the streams.
    """

    outbox: Outbox

    def __init__(self, limits: Limits, *, is_server: bool) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.streams: dict[int, BaseStream] = {}
        self.touched: list[BaseStream] = []
        self.budget = Budget(max(limits.max_buffered_bytes, limits.max_message_bytes))
        self.withheld = 0
        self.patience = Patience(limits.max_nuisance_per_second, self.loop.time)
        self.failure: RpcError | None = None  # why the connection is of no use any more
        self._is_server = is_server
        self._control = ControlFrames(self, self.patience, max_header_bytes=limits.max_header_bytes)
        self._splitter = FrameSplitter(
            self.on_data,
            self._control.take,
            max_frame_bytes=limits.max_frame_bytes,
            max_control_bytes=max(limits.max_header_bytes, 16_384),
            expect_preface=is_server,
        )
        self._credit = limits.connection_window
        self._low = limits.connection_window // 2
        self.timers = Timers()
        self._keepalive = Keepalive(
            limits.keepalive_seconds or 0.0,
            ask=lambda: self.outbox.put(frames.ping(_KEEPALIVE)),
            give_up=lambda: self._give_up("the peer gives no sign of life"),
        )

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self.transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.outbox = Outbox(
            self.transport,
            max_queued_bytes=self.limits.max_queued_bytes if self._is_server else sys.maxsize,
            on_overflow=lambda: self.fail(PeerError(ErrorCode.ENHANCE_YOUR_CALM, _UNREAD)),
        )
        self.outbox.put(introduction(self.limits, is_server=self._is_server))
        self.outbox.flush()
        self.timers.set(
            "handshake",
            self.limits.handshake_seconds,
            lambda: self._give_up("the peer did not introduce itself in time"),
        )
        if self.limits.keepalive_seconds is not None:
            self._keepalive.start(self.timers)

    def data_received(self, data: bytes) -> None:
        """Take everything that arrived, deliver it, and write everything that this caused."""
        outbox = self.outbox
        outbox.scheduled = True
        self._keepalive.heard = True
        try:
            self._splitter.feed(data)
            touched = self.touched
            if touched:
                self.touched = []
                for stream in touched:
                    stream.deliver()
        except PeerError as fault:
            self.fail(fault)
        if self._credit < self._low:
            self._refill()
        outbox.flush()

    def eof_received(self) -> bool:
        """The peer will say no more: gRPC has no use for half a connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End every call."""
        self.timers.clear_all()
        reason = f"the connection was lost: {exc}" if exc else "the peer closed the connection"
        self._end(RpcError(StatusCode.UNAVAILABLE, reason))

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write."""
        self.outbox.pause()
        self.timers.set(
            "stall", self.limits.stall_seconds, lambda: self._give_up("the peer does not read")
        )

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.timers.clear("stall")
        self.outbox.resume()

    # what the frames say

    def on_data(self, stream_id: int, data: bytes, start: int, end: int, ended: bool) -> None:
        """Take a piece of DATA: `data[start:end]`."""
        if self.block_open or not self._control.greeted:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "DATA where it may not be")
        self._credit -= end - start
        if self._credit < 0:
            raise _overrun()
        if start == end and not ended:
            self.patience.bear("empty DATA")
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.take_data(data, start, end, ended)
        else:
            self._check_known(stream_id, "DATA")
            self.patience.bear("DATA on closed streams")

    def on_padding(self, stream_id: int, size: int) -> None:
        """Count padding in flow control."""
        self._credit -= size
        if self._credit < 0:
            raise _overrun()
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.take_credit(size)

    def on_reset(self, stream_id: int, code: int) -> None:
        """Let a stream end that the peer reset."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_reset(code)
        else:
            self._check_known(stream_id, "RST_STREAM")

    def on_settings(self, values: dict[int, int]) -> None:
        """Do as the peer says, and tell it so."""
        self.timers.clear("handshake")
        window = values.get(Setting.INITIAL_WINDOW_SIZE)
        if window is not None:
            change = window - self.outbox.initial_window
            self.outbox.initial_window = window
            for stream in list(self.streams.values()):
                self._grow(stream, change)
        size = values.get(Setting.MAX_FRAME_SIZE)
        if size is not None:
            self.outbox.max_frame_bytes = size
        self.outbox.put(frames.SETTINGS_ACK)

    def on_ping(self, payload: bytes) -> None:
        """Give a sign of life."""
        self.outbox.put(frames.ping(payload, ack=True))

    def on_pong(self, payload: bytes) -> None:
        """The peer lives."""

    def on_window(self, stream_id: int, increment: int) -> None:
        """Send more, if there is more."""
        if not stream_id:
            if self.outbox.window + increment > LARGEST_WINDOW:
                raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1")
            if self.outbox.is_useless(increment):
                self.patience.bear("tiny WINDOW_UPDATE")
            self.outbox.grow(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is not None:
            if stream.is_useless(increment):
                self.patience.bear("tiny WINDOW_UPDATE")
            self._grow(stream, increment)
        else:
            self._check_known(stream_id, "WINDOW_UPDATE")

    def on_block(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Take a whole header block."""
        raise NotImplementedError

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:
        """Begin to leave, as the peer does."""
        raise NotImplementedError

    # for the two sides and their streams

    @property
    def block_open(self) -> bool:
        """Whether the rest of a header block is still to come."""
        return bool(self._control.open_block)

    def is_idle(self, stream_id: int) -> bool:
        """Whether the stream was never opened."""
        raise NotImplementedError

    def gone(self, stream: BaseStream) -> None:
        """Forget a stream."""
        self.streams.pop(stream.id, None)

    def last_peer_stream(self) -> int:
        """Return the last stream of the peer that we took."""
        return 0

    def fail(self, fault: PeerError) -> None:
        """Tell the peer why, and end the connection with every call on it."""
        if self.failure is not None:
            return
        self.outbox.put(frames.goaway(self.last_peer_stream(), fault.code, fault.message))
        blame = f"the peer broke the connection: {error_name(fault.code)}: {fault.message}"
        self.close(RpcError(StatusCode.UNAVAILABLE, blame))

    def close(self, reason: RpcError) -> None:
        """Write what is ready, close the socket, and end every call with `reason`."""
        if self.failure is not None:
            return
        self.failure = reason
        self.outbox.flush()
        self.transport.close()
        self.timers.clear_all()
        self.timers.set("linger", _LINGER_SECONDS, self.transport.abort)
        self._end(reason)

    def release(self, size: int) -> None:
        """A stream lets the peer send `size` bytes again that it had held back."""
        self.withheld -= size
        if self._credit < self._low:
            self._refill()

    def on_end(self, reason: RpcError) -> None:
        """The connection is over. May be called twice: when we give it up, and when it is gone."""
        raise NotImplementedError

    def _give_up(self, text: str) -> None:
        self.close(RpcError(StatusCode.UNAVAILABLE, text))
        self.transport.abort()

    def _end(self, reason: RpcError) -> None:
        if self.failure is None:
            self.failure = reason
        self.outbox.close()
        for stream in list(self.streams.values()):
            stream.on_lost(self.failure)
        self.on_end(self.failure)

    def _refill(self) -> None:
        increment = self.limits.connection_window - self._credit - self.withheld
        if increment > 0:
            self._credit += increment
            self.outbox.put(frames.window_update(0, increment))

    def _grow(self, stream: BaseStream, change: int) -> None:
        if stream.window + change > LARGEST_WINDOW:
            stream.abort(ErrorCode.FLOW_CONTROL_ERROR, "the peer opened a window above 2^31-1")
        else:
            stream.grow(change)

    def _check_known(self, stream_id: int, what: str) -> None:
        if not stream_id or self.is_idle(stream_id):
            text = f"{what} on stream {stream_id}, which was never opened"
            raise PeerError(ErrorCode.PROTOCOL_ERROR, text)


def _overrun() -> PeerError:
    return PeerError(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window allows")
