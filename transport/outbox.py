"""What leaves: messages under flow control, and one write for all that is ready in a loop turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct

from transport.frames import data_head
from transport.http2 import DEFAULT_FRAME_BYTES, DEFAULT_WINDOW

_MESSAGE_HEAD = Struct(">IBIBI")
"""A DATA frame's head and the prefix of the one message in it."""
_PREFIX = Struct(">BI")
_PREFIX_BYTES = 5
_SMALL = 4096
_LARGEST_DATA = 2**20
_WRITE_BYTES = 2**18
_BULK = 2**16
_HIGH_WATER = 2**20
_TINY = 256
_SLACK = 4096

CLOSED_WINDOW = -(2**63)
"""Of a stream on which nothing is sent any more."""
UNOPENED_WINDOW = -(2**62)
"""Of a stream that waits to be opened."""

Buffer = bytes | bytearray | memoryview


class Outbox:
    """The outgoing side of one connection.

    Frames are gathered and written together: at the end of the read that caused them, or else at
    the end of the loop's turn. While the socket is full, DATA waits in the streams.

    Args:
        transport: of the connection.
        max_queued_bytes: the most that may wait in all streams together.
        on_overflow: called, at most once, where more does.
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
        """Bytes of DATA that the peer takes on the connection; may not be exceeded."""
        self.widest_window = DEFAULT_WINDOW
        """What it was at its widest, by updates worth the name."""
        self.initial_window = DEFAULT_WINDOW
        """That of each new stream."""
        self.direct_bytes = DEFAULT_FRAME_BYTES
        """A message up to this size may skip the queue; none may while the socket is full."""
        self.parts: list[Buffer] = []
        self.bulky = False
        """Whether something in `parts` is too large to be copied."""
        self.scheduled = False
        """Whether somebody will flush."""
        self.queued = 0
        self.closed = False
        self.write: Callable[[Buffer], None] = transport.write
        self._max_frame_bytes = DEFAULT_FRAME_BYTES
        self._max_queued_bytes = max_queued_bytes
        self._on_overflow = on_overflow
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._paused = False
        # Streams with something to send and a window for it, in the order of their turns
        self._waiting: dict[Outgoing, None] = {}

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that the peer takes."""
        return self._max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, size: int) -> None:
        self._max_frame_bytes = min(size, _LARGEST_DATA)
        if not self._paused:
            self.direct_bytes = self._max_frame_bytes

    def put(self, frame: bytes) -> None:
        """Send a frame that flow control does not hold back."""
        self.parts.append(frame)
        if not self.scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Flush at the end of this turn of the loop."""
        self.scheduled = True
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that may be written now, in one piece where it is not large."""
        self.scheduled = False
        if self._waiting:
            self._pump()
        if self.parts:
            self._write()

    def close(self) -> None:
        """Forget everything: the connection is gone, or about to be."""
        self.closed = True
        self.parts.clear()
        self._waiting.clear()

    def pause(self) -> None:
        """The socket is full."""
        self._paused = True
        self.direct_bytes = 0

    def resume(self) -> None:
        """The socket takes more."""
        self._paused = False
        self.direct_bytes = self._max_frame_bytes
        self.flush()

    def wait(self, stream: Outgoing) -> None:
        """Give a stream with something to send its turn, when it comes."""
        self._waiting[stream] = None
        if not self.scheduled:
            self.schedule()

    def forget(self, stream: Outgoing) -> None:
        """Drop what a stream has not sent."""
        self._waiting.pop(stream, None)
        self.queued -= stream.queued
        stream.pending.clear()
        stream.queued = 0

    def grow(self, increment: int) -> None:
        """The peer takes more DATA on the connection."""
        self.window += increment
        if increment > _TINY:
            self.widest_window = max(self.widest_window, self.window)
        if self._waiting and not self.scheduled:
            self.schedule()

    def is_useless(self, increment: int) -> bool:
        """Whether an increment lets out crumbs, or gives by crumbs what was never taken.

        grpcio gives back each small message at once, and the bytes of a prefix before it: that is
        neither.
        """
        if increment > _TINY:
            return False
        return bool(self._waiting) or self.window + increment > self.widest_window + _SLACK

    def count(self, size: int) -> None:
        """A stream has queued `size` bytes."""
        self.queued += size
        if self.queued > self._max_queued_bytes and not self.closed:
            self._loop.call_soon(self._on_overflow)

    def _write(self) -> None:
        parts, self.parts = self.parts, []
        bulky, self.bulky = self.bulky, False
        if bulky and not self.closed:
            self._transport.writelines(parts)
        elif not self.closed:
            self.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _pump(self) -> None:
        """Let the waiting streams send in turn, a frame each, as far as the windows reach."""
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

    def _send_from(self, stream: Outgoing) -> int:
        del self._waiting[stream]
        size = min(stream.queued, stream.window, self.window, self._max_frame_bytes)
        if size <= 0:
            return 0  # comes back with the stream's next WINDOW_UPDATE
        stream.window -= size
        self.window -= size
        self.queued -= size
        self.bulky |= size >= _BULK
        self.parts.append(data_head(size, stream.id))
        stream.take(size, self.parts)
        self._waiting[stream] = None
        return size


class Outgoing:
    """The outgoing half of one stream.

    `window` is negative as long as nothing may be sent, so that one comparison finds out.
    """

    __slots__ = ("ending", "id", "outbox", "pending", "queued", "window")

    def __init__(self, outbox: Outbox, stream_id: int, window: int) -> None:
        self.id = stream_id
        self.outbox = outbox
        self.window = window
        self.pending: deque[Buffer] = deque()
        self.queued = 0
        """Bytes in `pending`: message prefixes and messages, to be cut into DATA anywhere."""
        self.ending = False
        """Whether no message follows those that are queued."""

    def send(self, message: Buffer) -> int:
        """Send a message, and return how many bytes of this stream wait. Never blocks.

        Args:
            message: bytes; if it can be changed, it may not be until `flushed`.
        """
        length = len(message)
        size = length + _PREFIX_BYTES
        outbox = self.outbox
        if (
            size <= self.window
            and size <= outbox.window
            and size <= outbox.direct_bytes
            and not self.pending
        ):
            self.window -= size
            outbox.window -= size
            parts = outbox.parts
            parts.append(_MESSAGE_HEAD.pack(size << 8, 0, self.id, 0, length))
            parts.append(message)
            if length >= _BULK:
                outbox.bulky = True
            if not outbox.scheduled:
                outbox.schedule()
            return 0
        return self._queue((message,), length)

    def send_pieces(self, pieces: Sequence[Buffer]) -> int:
        """Send a large message that lies in several places, and is not joined; see `send`."""
        return self._queue(pieces, sum(map(len, pieces)))

    def grow(self, increment: int) -> None:
        """The peer takes more (or, by SETTINGS, less) DATA on this stream."""
        if self.window == CLOSED_WINDOW:
            return
        self.window += increment
        if self.pending and self.window > 0:
            self.outbox.wait(self)

    def is_useless(self, increment: int) -> bool:
        """Whether an increment lets out crumbs, or gives by crumbs what was never taken."""
        if increment > _TINY:
            return False
        return bool(self.pending) or self.window + increment > self.outbox.initial_window + _SLACK

    def take(self, size: int, parts: list[Buffer]) -> None:
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
        """Everything that was queued has left."""
        raise NotImplementedError

    def on_late_message(self) -> int:
        """A message comes too late: our half of the stream has ended."""
        raise NotImplementedError

    def _queue(self, pieces: Sequence[Buffer], length: int) -> int:
        if self.window == CLOSED_WINDOW or self.ending:
            return self.on_late_message()
        prefix = _PREFIX.pack(0, length)
        if length <= _SMALL:
            self.pending.append(b"".join((prefix, *pieces)))
        else:
            self.pending += (prefix, *filter(len, pieces))
        size = length + _PREFIX_BYTES
        self.queued += size
        outbox = self.outbox
        outbox.count(size)
        if self.window > 0:
            outbox.wait(self)
        return self.queued
