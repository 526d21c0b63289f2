"""One HTTP/2 stream: what client and server streams have in common."""

from __future__ import annotations

import asyncio
from typing import Protocol

from transport import frames
from transport.flood_guard import FloodGuard
from transport.http2 import Http2ErrorCode
from transport.limits import GrpcLimits
from transport.messages import BufferBudget, MessageReader
from transport.status import RpcError, StatusCode
from transport.write_queue import CLOSED_WINDOW, OutgoingStream, WriteQueue


class ConnectionPort(Protocol):
    """What a stream needs of its connection."""

    write_queue: WriteQueue
    limits: GrpcLimits
    buffer_budget: BufferBudget
    readable: list[BaseStream]
    withheld: int
    flood_guard: FloodGuard

    def forget_stream(self, stream: BaseStream) -> None:
        """Remove a stream that is over."""

    def reset_stream(self, stream_id: int, code: Http2ErrorCode) -> None:
        """Send RST_STREAM."""

    def release(self, size: int) -> None:
        """Let the peer send `size` bytes again that a paused stream had withheld."""


class BaseStream(OutgoingStream):
    """A stream of a connection.

    What arrives in one read of the socket is delivered together, at the end of that read: a handler
    gets messages in batches, and the answers to all of them leave in one write.
    """

    __slots__ = (
        "__weakref__",
        "_final_frame",
        "_flush_waiters",
        "_paused",
        "_receive_window",
        "_refill_below",
        "_withheld",
        "alive",
        "connection",
        "is_readable",
        "reader",
        "received",
        "remote_ended",
    )

    def __init__(self, connection: ConnectionPort, stream_id: int, window: int) -> None:
        super().__init__(connection.write_queue, stream_id, window)
        self.connection = connection
        self.alive = True
        self.reader = MessageReader(connection.limits.max_message_bytes, connection.buffer_budget)
        self.received: list[bytes] = []
        """Messages that have not been delivered."""
        self.is_readable = False
        """Whether the stream is in the connection's list of readable streams."""
        self.remote_ended = False
        self._receive_window = connection.limits.stream_window
        self._refill_below = connection.limits.stream_window // 2
        self._final_frame = b""  # sent with END_STREAM behind everything that is queued
        self._paused = False
        self._withheld = 0
        self._flush_waiters: list[asyncio.Future[None]] = []

    # for the application

    def pause(self) -> None:
        """Stop delivering messages; the peer may send one more window of data and then waits."""
        self._paused = True

    def resume(self) -> None:
        """Deliver messages again, beginning with those that waited."""
        self._paused = False
        if not self.alive:
            return
        self._release_withheld()
        self._refill()
        asyncio.get_running_loop().call_soon(self.deliver)

    async def flushed(self) -> None:
        """Wait until everything sent on the stream was written to the socket or dropped."""
        if self.queued and self.alive:
            future = asyncio.get_running_loop().create_future()
            self._flush_waiters.append(future)
            await future

    # for the connection

    def on_data(self, data: bytes, start: int, end: int, ended: bool) -> None:
        """Handle part of a DATA frame. An error ends this stream and no other."""
        self._receive_window -= end - start
        if self._receive_window < self._refill_below or self._paused:
            self._update_window(end - start)
            if not self.alive:
                return
        if self.remote_ended:
            self.abort(Http2ErrorCode.STREAM_CLOSED, "the peer sent DATA after END_STREAM")
            return
        try:
            messages = self.reader.feed(data, start, end)
        except RpcError as error:
            self.on_unreadable(error)
            return
        if messages or ended:
            self.received += messages
            self.remote_ended = ended
            if not self.is_readable:
                self.is_readable = True
                self.connection.readable.append(self)

    def on_padding(self, size: int) -> None:
        """Count padding, which takes window and carries nothing."""
        self._receive_window -= size
        self._update_window(size)

    def _update_window(self, size: int) -> None:
        if self._receive_window < 0:
            text = "the peer sent more than the window allows"
            self.abort(Http2ErrorCode.FLOW_CONTROL_ERROR, text)
        elif self._paused:
            self._withheld += size
            self.connection.withheld += size
        elif self._receive_window < self._refill_below:
            self._refill()

    def mark_readable(self) -> None:
        """Have `deliver` called at the end of the read."""
        self.is_readable = True
        self.connection.readable.append(self)

    def deliver(self) -> None:
        """Pass what has arrived to the application."""
        self.is_readable = False
        if self.alive and not self._paused:
            self.on_readable()

    def end(self, final_frame: bytes) -> None:
        """Send `final_frame`, with END_STREAM, behind everything that is queued."""
        self.ending = True
        self._final_frame = final_frame
        if not self.pending:
            self.on_drained()

    def abort(self, code: Http2ErrorCode, reason: str) -> None:
        """Reset the stream, for an error of the peer.

        Raises:
            PeerError: it has made too many such errors.
        """
        if self.alive:
            self.connection.reset_stream(self.id, code)
            self.on_lost(RpcError(StatusCode.INTERNAL, reason))
            self.connection.flood_guard.count_reset(reason)

    def close(self) -> None:
        """Release everything that the stream holds."""
        self.alive = False
        self.window = CLOSED_WINDOW
        self._release_withheld()
        self.reader.discard()
        self.write_queue.discard(self)
        self._wake_flush_waiters()
        self.connection.forget_stream(self)

    def on_drained(self) -> None:
        """Send the final frame when everything queued has been written."""
        if self._final_frame:
            self.write_queue.put(self._final_frame)
            self._final_frame = b""
            self.window = CLOSED_WINDOW
            self.on_ended()
        self._wake_flush_waiters()

    # implemented by client and server streams

    def on_readable(self) -> None:
        """Handle messages, or the end of the peer's half."""
        raise NotImplementedError

    def on_unreadable(self, error: RpcError) -> None:
        """Handle data that is not a message, or a message that is too large."""
        raise NotImplementedError

    def on_ended(self) -> None:
        """Handle the orderly end of our half."""
        raise NotImplementedError

    def on_reset(self, code: int) -> None:
        """Handle RST_STREAM."""
        raise NotImplementedError

    def on_lost(self, error: RpcError) -> None:
        """Handle an end that the peer did not announce, such as a lost connection."""
        raise NotImplementedError

    def _refill(self) -> None:
        increment = self.connection.limits.stream_window - self._receive_window
        if increment and not self.remote_ended:
            self._receive_window += increment
            self.write_queue.put(frames.window_update(self.id, increment))

    def _release_withheld(self) -> None:
        if self._withheld:
            self.connection.release(self._withheld)
            self._withheld = 0

    def _wake_flush_waiters(self) -> None:
        for future in self._flush_waiters:
            if not future.done():
                future.set_result(None)
        self._flush_waiters.clear()
