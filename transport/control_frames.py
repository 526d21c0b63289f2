"""Frames other than DATA: validated, then dispatched to the connection's `on_…` methods."""

from __future__ import annotations

from abc import ABC, abstractmethod

from transport.flood_guard import FloodGuard
from transport.frames import parse_goaway, parse_settings, parse_uint32, strip_padding
from transport.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2ErrorCode,
    PeerError,
    Setting,
)

_PING_BYTES = 8
_PRIORITY_BYTES = 5
_MIN_FRAME_LIMIT = 16_384
_MAX_CONTINUATIONS = 16


class ControlFrameHandler(ABC):
    """Takes the control frames of one connection, in order.

    Args:
        flood_guard: counts frames that do no useful work.
        max_block_bytes: of one header block; a larger one ends the connection.
    """

    def __init__(self, flood_guard: FloodGuard, *, max_block_bytes: int) -> None:
        self.flood_guard = flood_guard
        self.settings_received = False
        """Whether the peer's first SETTINGS frame has arrived; no other frame may come before."""
        self._max_block_bytes = max_block_bytes
        self._open_headers = 0  # the stream whose header block is incomplete; 0: none
        self._block = bytearray()
        self._block_flags = 0
        self._continuations = 0
        self._handlers = {
            HEADERS: self._headers,
            CONTINUATION: self._continuation,
            RST_STREAM: self._rst_stream,
            SETTINGS: self._settings,
            PING: self._ping,
            GOAWAY: self._goaway,
            WINDOW_UPDATE: self._window_update,
            PRIORITY: self._priority,
            PUSH_PROMISE: self._push_promise,
            DATA: self._padding,
        }

    @property
    def headers_open(self) -> bool:
        """Whether a header block is incomplete: only its CONTINUATION may come next."""
        return self._open_headers != 0

    def handle_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Validate one frame and dispatch it.

        Raises:
            PeerError: the frame violates the protocol or exceeds a limit.
        """
        if self._open_headers and (kind != CONTINUATION or stream_id != self._open_headers):
            raise _violation("a frame in the middle of a header block")
        if not self.settings_received and (kind != SETTINGS or flags & ACK):
            raise _violation("the first frame is not SETTINGS")
        handler = self._handlers.get(kind)
        if handler is None:
            self.flood_guard.count(f"frames of kind {kind:#x}")
        else:
            handler(flags, stream_id, payload)

    # implemented by the connection

    @abstractmethod
    def on_headers(self, stream_id: int, block: bytes, ended: bool) -> None:
        """Handle a complete header block; `ended`: with END_STREAM."""

    @abstractmethod
    def on_reset(self, stream_id: int, code: int) -> None:
        """Handle RST_STREAM."""

    @abstractmethod
    def on_settings(self, values: dict[int, int]) -> None:
        """Apply the peer's settings, whose values are in range."""

    @abstractmethod
    def on_ping(self, payload: bytes) -> None:
        """Handle a PING that asks for an answer."""

    @abstractmethod
    def on_pong(self, payload: bytes) -> None:
        """Handle the answer to our PING."""

    @abstractmethod
    def on_goaway(self, last_stream_id: int, code: int, text: str) -> None:
        """Handle GOAWAY: the peer accepts no new stream."""

    @abstractmethod
    def on_window_update(self, stream_id: int, increment: int) -> None:
        """Widen the send window of a stream, or of the connection (stream 0)."""

    @abstractmethod
    def on_padding(self, stream_id: int, size: int) -> None:
        """Count padding of DATA, which flow control includes."""

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("HEADERS on stream 0")
        if flags & PADDED:
            payload = strip_padding(payload)
        if flags & PRIORITY_FLAG:
            if len(payload) < _PRIORITY_BYTES:
                raise _bad_size("HEADERS", len(payload))
            payload = payload[_PRIORITY_BYTES:]
        if flags & END_HEADERS:
            self._complete_headers(flags, stream_id, payload)
        else:
            self._open_headers = stream_id
            self._block_flags = flags
            self._continuations = 0
            self._block = bytearray(payload)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._open_headers:
            raise _violation("CONTINUATION without HEADERS")
        self._continuations += 1
        self._block += payload
        if self._continuations > _MAX_CONTINUATIONS or len(self._block) > self._max_block_bytes:
            text = f"{len(self._block)} bytes of headers in {self._continuations} CONTINUATIONs"
            raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)
        if flags & END_HEADERS:
            self._open_headers = 0
            self._complete_headers(self._block_flags, stream_id, bytes(self._block))

    def _complete_headers(self, flags: int, stream_id: int, block: bytes) -> None:
        if len(block) > self._max_block_bytes:
            text = f"a header block of {len(block)} bytes; at most {self._max_block_bytes}"
            raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)
        self.on_headers(stream_id, block, flags & END_STREAM == END_STREAM)

    def _rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("RST_STREAM on stream 0")
        if len(payload) != 4:  # noqa: PLR2004
            raise _bad_size("RST_STREAM", len(payload))
        self.on_reset(stream_id, int.from_bytes(payload, "big"))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise _bad_size("SETTINGS acknowledgement", len(payload))
            self.flood_guard.count("SETTINGS acknowledgements")
            return
        if self.settings_received:
            self.flood_guard.count("SETTINGS")
        values = parse_settings(payload)
        _check_settings(values)
        self.settings_received = True
        self.on_settings(values)

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("PING on a stream")
        if len(payload) != _PING_BYTES:
            raise _bad_size("PING", len(payload))
        self.flood_guard.count("PING")
        if flags & ACK:
            self.on_pong(payload)
        else:
            self.on_ping(payload)

    def _goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _violation("GOAWAY on a stream")
        self.flood_guard.count("GOAWAY")
        self.on_goaway(*parse_goaway(payload))

    def _window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = parse_uint32(payload) & MAX_WINDOW
        if not increment:
            raise _violation("WINDOW_UPDATE with an increment of 0")
        self.on_window_update(stream_id, increment)

    def _priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise _violation("PRIORITY on stream 0")
        if len(payload) != _PRIORITY_BYTES:
            raise _bad_size("PRIORITY", len(payload))
        self.flood_guard.count("PRIORITY")

    def _push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise _violation("PUSH_PROMISE, although push is disabled")

    def _padding(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self.on_padding(stream_id, len(payload))


def _check_settings(values: dict[int, int]) -> None:
    if values.get(Setting.ENABLE_PUSH, 0) > 1:
        raise _violation("ENABLE_PUSH is neither 0 nor 1")
    if values.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW:
        text = "INITIAL_WINDOW_SIZE above 2^31-1"
        raise PeerError(Http2ErrorCode.FLOW_CONTROL_ERROR, text)
    frame_bytes = values.get(Setting.MAX_FRAME_SIZE, _MIN_FRAME_LIMIT)
    if not _MIN_FRAME_LIMIT <= frame_bytes <= MAX_FRAME_BYTES:
        raise _violation(f"MAX_FRAME_SIZE of {frame_bytes}, not from 16384 to 16777215")


def _violation(text: str) -> PeerError:
    return PeerError(Http2ErrorCode.PROTOCOL_ERROR, text)


def _bad_size(what: str, size: int) -> PeerError:
    return PeerError(Http2ErrorCode.FRAME_SIZE_ERROR, f"{what} of {size} bytes")
