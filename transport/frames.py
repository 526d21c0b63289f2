"""Frames: cut out of the bytes that arrive, and put together for the bytes that leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

from transport.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD_BYTES,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    PeerError,
)

# A frame's head as three numbers: length and kind in one, flags, stream
_HEAD = Struct(">IBI")
_NUMBER = Struct(">I")
_PAIR = Struct(">II")
_SETTING = Struct(">HI")
_STREAM_MASK = 0x7FFF_FFFF

OnData = Callable[[int, bytes, int, int, bool], None]
"""Takes (stream, data, start, end, ended): `data[start:end]` is a piece of a DATA frame."""
OnFrame = Callable[[int, int, int, bytes], None]
"""Takes (kind, flags, stream, payload) of a whole frame."""


class FrameSplitter:
    """Cuts the bytes of a connection into frames, however the bytes arrive.

    DATA is handed on in pieces, as it comes and without a copy: a frame may be larger than a read.
    Any other frame (and DATA with padding, which no gRPC peer sends) is handed on whole.

    Args:
        on_data: gets each piece of DATA; at least one call for each frame, also for empty ones.
        on_frame: gets each other frame.
        max_frame_bytes: the SETTINGS_MAX_FRAME_SIZE that the peer was told.
        max_control_bytes: the most that a frame other than DATA may carry.
        expect_preface: whether the peer is a client, which says PREFACE first.
    """

    def __init__(
        self,
        on_data: OnData,
        on_frame: OnFrame,
        *,
        max_frame_bytes: int,
        max_control_bytes: int,
        expect_preface: bool,
    ) -> None:
        self._on_data = on_data
        self._on_frame = on_frame
        self._max_frame_bytes = max_frame_bytes
        self._max_control_bytes = max_control_bytes
        self._preface = PREFACE if expect_preface else b""
        # The start of a frame that is not all there; `_need` bytes let it go on
        self._held = bytearray()
        self._need = 0
        # The DATA frame whose payload is still arriving
        self._left = 0
        self._stream = 0
        self._ends = False

    @property
    def awaits_preface(self) -> bool:
        """Whether the client has not introduced itself yet."""
        return bool(self._preface)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection and hand on what they complete.

        Raises:
            PeerError: a frame is larger than allowed, or the preface is wrong.
        """
        if self._held or self._preface:
            data = self._resume(data)
        position = self._go_on(data) if self._left else 0
        end = len(data)
        while end - position >= HEAD_BYTES:
            head, flags, stream_id = _HEAD.unpack_from(data, position)
            start = position + HEAD_BYTES
            stop = start + (head >> 8)
            if head & 0xFF == DATA and not flags & PADDED:
                if head >> 8 > self._max_frame_bytes:
                    raise self._too_large(head)
                stream_id &= _STREAM_MASK
                if stop > end:
                    self._left = stop - end
                    self._stream = stream_id
                    self._ends = flags & END_STREAM == END_STREAM
                    if end > start:
                        self._on_data(stream_id, data, start, end, False)
                    return
                self._on_data(stream_id, data, start, stop, flags & END_STREAM == END_STREAM)
            else:
                self._check_size(head)
                if stop > end:
                    self._hold(data, position, stop - position)
                    return
                self._whole(head & 0xFF, flags, stream_id & _STREAM_MASK, data[start:stop])
            position = stop
        if position < end:
            self._hold(data, position, HEAD_BYTES)

    def _resume(self, data: bytes) -> bytes:
        """Return what was held with `data` behind it, or nothing as long as it is not enough."""
        held = self._held
        held += data
        if self._preface:
            if not self._preface.startswith(held[: len(PREFACE)]):
                raise PeerError(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 client preface")
            if len(held) < len(PREFACE):
                return b""
            self._preface = b""
            del held[: len(PREFACE)]
        elif len(held) < self._need:
            return b""
        self._held = bytearray()
        return bytes(held)

    def _hold(self, data: bytes, position: int, need: int) -> None:
        self._held = bytearray(memoryview(data)[position:])
        self._need = need

    def _go_on(self, data: bytes) -> int:
        """Hand on more of the DATA frame that is arriving; return where it ends."""
        size = min(self._left, len(data))
        if not size:
            return 0
        self._left -= size
        self._on_data(self._stream, data, 0, size, self._ends and not self._left)
        return size

    def _whole(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind != DATA:
            self._on_frame(kind, flags, stream_id, payload)
            return
        # Padding counts in flow control, but the messages must not see it: hand it on as an
        # overhang of DATA that ends before the frame does
        body = strip_padding(payload)
        ended = flags & END_STREAM == END_STREAM
        self._on_frame(DATA, flags, stream_id, payload[: len(payload) - len(body)])
        self._on_data(stream_id, body, 0, len(body), ended)

    def _check_size(self, head: int) -> None:
        size = head >> 8
        if size > self._max_frame_bytes:
            raise self._too_large(head)
        if head & 0xFF != DATA and size > self._max_control_bytes:
            text = f"a control frame of {size} bytes; at most {self._max_control_bytes} are taken"
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, text)

    def _too_large(self, head: int) -> PeerError:
        text = f"a frame of {head >> 8} bytes; SETTINGS_MAX_FRAME_SIZE is {self._max_frame_bytes}"
        return PeerError(ErrorCode.FRAME_SIZE_ERROR, text)


def strip_padding(payload: bytes) -> bytes:
    """Return what a frame with the PADDED flag carries between pad length and padding.

    Raises:
        PeerError: there is more padding than frame.
    """
    if not payload or payload[0] >= len(payload):
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one whole frame."""
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def data_head(size: int, stream_id: int, flags: int = 0) -> bytes:
    """Return the head of a DATA frame that carries `size` bytes."""
    return _HEAD.pack(size << 8, flags, stream_id)


def settings(values: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    """Return a PING frame; `payload` is 8 bytes."""
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last_stream_id: int, code: int, message: str = "") -> bytes:
    """Return a GOAWAY frame; `message` is its debug data."""
    return frame(GOAWAY, 0, 0, _PAIR.pack(last_stream_id, code) + message.encode()[:512])


def reset(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _NUMBER.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _NUMBER.pack(increment))


def headers(stream_id: int, block: bytes, *, ended: bool, max_frame_bytes: int) -> bytes:
    """Return a HEADERS frame, with CONTINUATION frames behind it where the block is long."""
    flags = END_STREAM if ended else 0
    if len(block) <= max_frame_bytes:
        return _HEAD.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    pieces = [block[at : at + max_frame_bytes] for at in range(0, len(block), max_frame_bytes)]
    frames = [frame(HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


def number(payload: bytes) -> int:
    """Return the 31-bit number that a RST_STREAM or WINDOW_UPDATE frame carries.

    Raises:
        PeerError: the payload is not of 4 bytes.
    """
    if len(payload) != _NUMBER.size:
        text = f"a frame of {len(payload)} bytes where 4 are needed"
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, text)
    value: int = _NUMBER.unpack(payload)[0]
    return value


def pairs(payload: bytes) -> dict[int, int]:
    """Return what a SETTINGS frame sets; where it sets the same twice, the last one counts.

    Raises:
        PeerError: the payload is not a sequence of 6-byte settings.
    """
    if len(payload) % _SETTING.size:
        text = f"a SETTINGS frame of {len(payload)} bytes, not a multiple of 6"
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, text)
    return dict(_SETTING.iter_unpack(payload))


def last_words(payload: bytes) -> tuple[int, int, str]:
    """Return last stream, error code and debug text of a GOAWAY frame.

    Raises:
        PeerError: the payload is shorter than 8 bytes.
    """
    if len(payload) < _PAIR.size:
        text = f"a GOAWAY frame of {len(payload)} bytes where 8 are needed"
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, text)
    last_stream_id, code = _PAIR.unpack_from(payload)
    debug = payload[_PAIR.size :][:512].decode("utf-8", "replace")
    return last_stream_id & _STREAM_MASK, code, debug
