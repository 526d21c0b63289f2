"""Frames other than DATA: checked, and turned into events for a connection."""

from __future__ import annotations

from typing import Protocol

from transport.frames import last_words, number, pairs, strip_padding
from transport.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LARGEST_FRAME_BYTES,
    LARGEST_WINDOW,
    PADDED,
    PING,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    PeerError,
    Setting,
)
from transport.limits import Patience

_PING_BYTES = 8
_PRIORITY_BYTES = 5
_SMALLEST_FRAME_LIMIT = 16_384
_MOST_CONTINUATIONS = 16


class Events(Protocol):
    """What a connection hears."""

    def on_block(self, stream_id: int, block: bytes, ended: bool) -> None:
        """A whole header block arrived."""

    def on_reset(self, stream_id: int, code: int) -> None:
        """The peer reset a stream."""

    def on_settings(self, values: dict[int, int]) -> None:
        """The peer set something; the values are in range."""

    def on_ping(self, payload: bytes) -> None:
        """The peer wants a sign of life."""

    def on_pong(self, payload: bytes) -> None:
        """The peer gave one."""

    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:
        """The peer takes no new stream."""

    def on_window(self, stream_id: int, increment: int) -> None:
        """The peer takes more DATA on a stream, or (0) on the connection."""

    def on_padding(self, stream_id: int, size: int) -> None:
        """Padding arrived, which counts in flow control."""


class ControlFrames:
    """Takes the frames of one connection, in order.

    Args:
        events: told what the frames mean.
        patience: tried by frames that are of no use.
        max_header_bytes: of one header block.
    """

    def __init__(self, events: Events, patience: Patience, *, max_header_bytes: int) -> None:
        self._events = events
        self._patience = patience
        self._max_header_bytes = max_header_bytes
        self._block = bytearray()
        self._block_flags = 0
        self._continuations = 0
        self.open_block = 0
        """The stream whose header block is not complete: nothing else may come until it is."""
        self.greeted = False
        """Whether the peer's first SETTINGS frame has come: nothing else may come before it."""
        self._takers = {
            HEADERS: self._headers,
            CONTINUATION: self._continuation,
            RST_STREAM: self._reset,
            SETTINGS: self._settings,
            PING: self._ping,
            GOAWAY: self._goaway,
            WINDOW_UPDATE: self._window_update,
            PRIORITY: self._priority,
            PUSH_PROMISE: self._push_promise,
            DATA: self._padding,
        }

    def take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Take one frame.

        Raises:
            PeerError: the frame breaks the protocol, or is one too many.
        """
        if self.open_block and (kind != CONTINUATION or stream_id != self.open_block):
            raise _violation("a frame in the middle of a header block")
        if not self.greeted and (kind != SETTINGS or flags & ACK):
            raise _violation("the first frame is not SETTINGS")
        taker = self._takers.get(kind)
        if taker is None:
            self._patience.bear(f"frames of kind {kind:#x}")
        else:
            taker(flags, stream_id, payload)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("HEADERS on stream 0")
        if flags & PADDED:
            payload = strip_padding(payload)
        if flags & PRIORITIZED:
            if len(payload) < _PRIORITY_BYTES:
                raise _bad_size("HEADERS", len(payload))
            payload = payload[_PRIORITY_BYTES:]
        if flags & END_HEADERS:
            self._whole_block(flags, stream_id, payload)
        else:
            self.open_block = stream_id
            self._block_flags = flags
            self._continuations = 0
            self._block = bytearray(payload)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not self.open_block:
            raise _violation("CONTINUATION without HEADERS")
        self._continuations += 1
        self._block += payload
        if self._continuations > _MOST_CONTINUATIONS or len(self._block) > self._max_header_bytes:
            text = f"{len(self._block)} bytes of headers in {self._continuations} CONTINUATIONs"
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, text)
        if flags & END_HEADERS:
            self.open_block = 0
            self._whole_block(self._block_flags, stream_id, bytes(self._block))

    def _whole_block(self, flags: int, stream_id: int, block: bytes) -> None:
        if len(block) > self._max_header_bytes:
            text = f"a header block of {len(block)} bytes; at most {self._max_header_bytes}"
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, text)
        self._events.on_block(stream_id, block, flags & END_STREAM == END_STREAM)

    def _reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("RST_STREAM on stream 0")
        if len(payload) != 4:  # noqa: PLR2004
            raise _bad_size("RST_STREAM", len(payload))
        self._patience.bear("RST_STREAM")
        self._events.on_reset(stream_id, int.from_bytes(payload, "big"))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise _bad_size("SETTINGS acknowledgement", len(payload))
            self._patience.bear("SETTINGS acknowledgements")
            return
        if self.greeted:
            self._patience.bear("SETTINGS")
        values = pairs(payload)
        _check_settings(values)
        self.greeted = True
        self._events.on_settings(values)

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("PING on a stream")
        if len(payload) != _PING_BYTES:
            raise _bad_size("PING", len(payload))
        self._patience.bear("PING")
        if flags & ACK:
            self._events.on_pong(payload)
        else:
            self._events.on_ping(payload)

    def _goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("GOAWAY on a stream")
        self._patience.bear("GOAWAY")
        self._events.on_goaway(*last_words(payload))

    def _window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = number(payload) & LARGEST_WINDOW
        if not increment:
            raise _violation("WINDOW_UPDATE by nothing")
        self._events.on_window(stream_id, increment)

    def _priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("PRIORITY on stream 0")
        if len(payload) != _PRIORITY_BYTES:
            raise _bad_size("PRIORITY", len(payload))
        self._patience.bear("PRIORITY")

    def _push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise _violation("PUSH_PROMISE, which was never allowed")

    def _padding(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._events.on_padding(stream_id, len(payload))


def _check_settings(values: dict[int, int]) -> None:
    if values.get(Setting.ENABLE_PUSH, 0) > 1:
        raise _violation("ENABLE_PUSH is neither 0 nor 1")
    if values.get(Setting.INITIAL_WINDOW_SIZE, 0) > LARGEST_WINDOW:
        text = "INITIAL_WINDOW_SIZE above 2^31-1"
        raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, text)
    frame_bytes = values.get(Setting.MAX_FRAME_SIZE, _SMALLEST_FRAME_LIMIT)
    if not _SMALLEST_FRAME_LIMIT <= frame_bytes <= LARGEST_FRAME_BYTES:
        raise _violation(f"MAX_FRAME_SIZE of {frame_bytes}, not from 16384 to 16777215")


def _violation(text: str) -> PeerError:
    return PeerError(ErrorCode.PROTOCOL_ERROR, text)


def _bad_size(what: str, size: int) -> PeerError:
    return PeerError(ErrorCode.FRAME_SIZE_ERROR, f"{what} of {size} bytes")
