"""The outgoing bytes of a connection: messages under flow control, and few, large writes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct

from transport.frames import data_header
from transport.http2 import DEFAULT_FRAME_BYTES, DEFAULT_WINDOW

_MESSAGE_HEADER = Struct(">IBIBI")
"""A DATA frame's header and the gRPC prefix of the only message in it."""
_PREFIX = Struct(">BI")
_PREFIX_BYTES = 5
_JOIN_BYTES = 4096
"""Up to this size a queued message is joined with its prefix: one buffer is cheaper than two."""
_MAX_DATA_BYTES = 2**20
"""The maximum size of a DATA frame, even if the peer allows more: streams alternate by frame."""
_WRITE_BYTES = 2**18
"""Bytes gathered from the streams before a write, after which the transport may pause us."""
_NO_COPY_BYTES = 2**16
"""From this size on parts are written with `writelines`: joining them would cost a copy."""
_HIGH_WATER = 2**20
_TINY_INCREMENT = 256
_WINDOW_SLACK = 4096

CLOSED_WINDOW = -(2**63)
"""Window of a stream whose sending half has ended."""
UNOPENED_WINDOW = -(2**62)
"""Window of a stream that has not been opened yet."""

Buffer = bytes | bytearray | memoryview


class WriteQueue:
    """The outgoing side of one connection.

    A system call per frame would cost more than the frame itself. So frames are collected in
    `parts` and written together: at the end of the read that caused them, otherwise at the end of
    the event loop's turn. While the socket is full, DATA waits in its stream, where a slow reader
    holds up no other stream and the queued bytes are counted against `max_queued_bytes`.

    Args:
        transport: of the connection.
        max_queued_bytes: the most that may wait in all streams together.
        on_overflow: called, at most once, when more does.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        max_queued_bytes: int,
        on_overflow: Callable[[], None],
    ) -> None:
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.window = DEFAULT_WINDOW
        """Bytes of DATA that the peer accepts on the connection; must not be exceeded."""
        self.widest_window = DEFAULT_WINDOW
        """The widest that window has been, ignoring tiny increments."""
        self.initial_window = DEFAULT_WINDOW
        """Window of each new stream."""
        self.direct_bytes = DEFAULT_FRAME_BYTES
        """Messages up to this size skip the stream's queue; 0 while the socket is full."""
        self.parts: list[Buffer] = []
        self.has_large_part = False
        """Whether something in `parts` is too large to be copied."""
        self.scheduled = False
        """Whether a flush is due anyway."""
        self.queued = 0
        """Bytes that wait in all streams."""
        self.closed = False
        self.overflowed = False
        """Whether more waited than may: the connection ends in the next turn of the event loop."""
        self.write: Callable[[Buffer], None] = transport.write
        self._max_frame_bytes = DEFAULT_FRAME_BYTES
        self._max_queued_bytes = max_queued_bytes
        self._on_overflow = on_overflow
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._paused = False
        # Streams with something to send and an open window, in the order of their turns
        self._waiting: dict[OutgoingStream, None] = {}

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that the peer accepts."""
        return self._max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, size: int) -> None:
        self._max_frame_bytes = min(size, _MAX_DATA_BYTES)
        if not self._paused:
            self.direct_bytes = self._max_frame_bytes

    def put(self, frame: bytes) -> None:
        """Send a frame that is not subject to flow control."""
        self.parts.append(frame)
        if not self.scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Flush at the end of this turn of the event loop."""
        self.scheduled = True
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that may be written now, in one piece unless it is large."""
        self.scheduled = False
        if self._waiting:
            self._pump()
        if self.parts:
            self._write()

    def close(self) -> None:
        """Drop everything: the connection is closed, or about to be."""
        self.closed = True
        self.parts.clear()
        self._waiting.clear()

    def pause(self) -> None:
        """Stop sending DATA: the socket is full."""
        self._paused = True
        self.direct_bytes = 0

    def resume(self) -> None:
        """Send again: the socket has room."""
        if self.overflowed:
            return
        self._paused = False
        self.direct_bytes = self._max_frame_bytes
        self.flush()

    def enqueue(self, stream: OutgoingStream) -> None:
        """Let a stream with something to send take part in the round-robin."""
        self._waiting[stream] = None
        if not self.scheduled:
            self.schedule()

    def discard(self, stream: OutgoingStream) -> None:
        """Drop what a stream has not sent."""
        self._waiting.pop(stream, None)
        self.queued -= stream.queued
        stream.pending.clear()
        stream.queued = 0

    def widen(self, increment: int) -> None:
        """Widen the connection's window, by a WINDOW_UPDATE."""
        self.window += increment
        if increment > _TINY_INCREMENT:
            self.widest_window = max(self.widest_window, self.window)
        if self._waiting and not self.scheduled:
            self.schedule()

    def is_useless(self, increment: int) -> bool:
        """Whether a tiny increment forces tiny frames, or widens a window that was never used.

        grpcio returns each small message at once, and separately the bytes of its prefix. Neither
        is useless.
        """
        if increment > _TINY_INCREMENT:
            return False
        return bool(self._waiting) or self.window + increment > self.widest_window + _WINDOW_SLACK

    def add_queued(self, size: int) -> None:
        """Count bytes that a stream has queued."""
        self.queued += size
        if self.queued > self._max_queued_bytes and not (self.overflowed or self.closed):
            self.overflowed = True
            self.pause()  # streams drop messages from now on: what follows a gap must not be sent
            self._loop.call_soon(self._on_overflow)

    def _write(self) -> None:
        parts, self.parts = self.parts, []
        has_large_part, self.has_large_part = self.has_large_part, False
        if has_large_part and not self.closed:
            self._transport.writelines(parts)
        elif not self.closed:
            self.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _pump(self) -> None:
        """Let the waiting streams send in turn, a frame each, as far as the windows allow."""
        waiting = self._waiting
        gathered = 0
        while waiting and not self._paused:
            stream = next(iter(waiting))
            if stream.pending:
                if self.window <= 0:
                    return
                gathered += self._send_from(stream)
                if gathered >= _WRITE_BYTES:
                    self._write()  # may pause
                    gathered = 0
            else:
                del waiting[stream]
                stream.on_drained()

    def _send_from(self, stream: OutgoingStream) -> int:
        del self._waiting[stream]
        size = min(stream.queued, stream.window, self.window, self._max_frame_bytes)
        if size <= 0:
            return 0  # enqueued again by the stream's next WINDOW_UPDATE
        stream.window -= size
        self.window -= size
        self.queued -= size
        self.has_large_part |= size >= _NO_COPY_BYTES
        self.parts.append(data_header(size, stream.id))
        stream.move_to(self.parts, size)
        self._waiting[stream] = None  # behind the others
        return size


class OutgoingStream:
    """The outgoing half of one stream.

    `window` is negative as long as nothing may be sent (not opened, or ended), so that the fast
    path of `send` needs one comparison for all three conditions.
    """

    __slots__ = ("ending", "id", "pending", "queued", "window", "write_queue")

    def __init__(self, write_queue: WriteQueue, stream_id: int, window: int) -> None:
        self.id = stream_id
        self.write_queue = write_queue
        self.window = window
        self.pending: deque[Buffer] = deque()
        self.queued = 0
        """Bytes in `pending`: message prefixes and messages, which DATA frames may cut anywhere."""
        self.ending = False
        """Whether no message follows those that are queued."""

    def send(self, message: Buffer) -> int:
        """Send a message, and return how many bytes of this stream are queued. Never blocks.

        Args:
            message: if it is mutable, it must not change before `flushed` returns.
        """
        length = len(message)
        size = length + _PREFIX_BYTES
        write_queue = self.write_queue
        if (
            size <= self.window
            and size <= write_queue.window
            and size <= write_queue.direct_bytes
            and not self.pending
        ):
            self.window -= size
            write_queue.window -= size
            parts = write_queue.parts
            parts.append(_MESSAGE_HEADER.pack(size << 8, 0, self.id, 0, length))
            parts.append(message)
            if length >= _NO_COPY_BYTES:
                write_queue.has_large_part = True
            if not write_queue.scheduled:
                write_queue.schedule()
            return 0
        return self._queue((message,), length)

    def send_pieces(self, pieces: Sequence[Buffer]) -> int:
        """Send one large message given in pieces, without joining them; see `send`."""
        return self._queue(pieces, sum(map(len, pieces)))

    def widen(self, increment: int) -> None:
        """Widen the window, by a WINDOW_UPDATE; SETTINGS may also narrow it (negative)."""
        if self.window == CLOSED_WINDOW:
            return
        self.window += increment
        if self.pending and self.window > 0:
            self.write_queue.enqueue(self)

    def is_useless(self, increment: int) -> bool:
        """Whether a tiny increment forces tiny frames, or widens a window that was never used."""
        if increment > _TINY_INCREMENT:
            return False
        widest = self.write_queue.initial_window + _WINDOW_SLACK
        return bool(self.pending) or self.window + increment > widest

    def move_to(self, parts: list[Buffer], size: int) -> None:
        """Move `size` bytes from the queue to `parts`."""
        self.queued -= size
        pending = self.pending
        while size:
            piece = pending.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                pending.appendleft(view[size:])
                piece = view[:size]
            parts.append(piece)
            size -= len(piece)

    def on_drained(self) -> None:
        """Handle that everything queued has been written."""
        raise NotImplementedError

    def on_late_message(self) -> int:
        """Handle a message that is sent after our half of the stream has ended."""
        raise NotImplementedError

    def _queue(self, pieces: Sequence[Buffer], length: int) -> int:
        if self.window == CLOSED_WINDOW or self.ending:
            return self.on_late_message()
        write_queue = self.write_queue
        if write_queue.overflowed:
            return self.queued  # a handler may send any amount before the connection ends
        prefix = _PREFIX.pack(0, length)
        if length <= _JOIN_BYTES:
            self.pending.append(b"".join((prefix, *pieces)))
        else:
            self.pending += (prefix, *filter(len, pieces))
        size = length + _PREFIX_BYTES
        self.queued += size
        write_queue.add_queued(size)
        if self.window > 0:
            write_queue.enqueue(self)
        return self.queued
