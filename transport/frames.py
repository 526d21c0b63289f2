"""HTTP/2 frames: parsed from the bytes that arrive, and serialized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

from transport.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER_BYTES,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2ErrorCode,
    PeerError,
)

# A frame header as three numbers: length << 8 | type, flags, stream id
_HEADER = Struct(">IBI")
_UINT32 = Struct(">I")
_UINT32_PAIR = Struct(">II")
_SETTING = Struct(">HI")
_STREAM_MASK = 0x7FFF_FFFF
_MAX_DEBUG_BYTES = 512
_MAX_CONTROL_BYTES = 16_384

OnData = Callable[[int, bytes, int, int, bool], None]
"""Takes (stream id, data, start, end, ended): `data[start:end]` is part of a DATA frame."""
OnFrame = Callable[[int, int, int, bytes], None]
"""Takes (type, flags, stream id, payload) of a whole frame."""


class FrameParser:
    """Parses the bytes of a connection into frames, in whatever portions they arrive.

    DATA is passed on in parts, as it arrives and without a copy, because a frame may be larger than
    a read. Any other frame (and DATA with padding, which no gRPC peer sends) is passed on whole.

    Args:
        on_data: takes each part of DATA; called at least once per frame, also for empty ones.
        on_frame: takes each other frame.
        max_frame_bytes: the SETTINGS_MAX_FRAME_SIZE that we announced.
        max_header_block_bytes: the largest payload of HEADERS and CONTINUATION. Other frames, and
            of course not DATA, may have up to 16 KiB.
        expect_preface: whether the peer is a client, which sends PREFACE first.
    """

    def __init__(
        self,
        on_data: OnData,
        on_frame: OnFrame,
        *,
        max_frame_bytes: int,
        max_header_block_bytes: int,
        expect_preface: bool,
    ) -> None:
        self._on_data = on_data
        self._on_frame = on_frame
        self._max_frame_bytes = max_frame_bytes
        self._max_header_block_bytes = max_header_block_bytes
        self._preface = PREFACE if expect_preface else b""
        # The start of an incomplete frame; parsing resumes when `_needed` bytes are there
        self._incomplete = bytearray()
        self._needed = 0
        # The DATA frame whose payload is still arriving
        self._data_left = 0
        self._data_stream = 0
        self._data_ends_stream = False

    def feed(self, data: bytes) -> None:
        """Parse the next bytes of the connection and pass on what they complete.

        Raises:
            PeerError: a frame is larger than allowed, or the preface is wrong.
        """
        if self._incomplete or self._preface:
            data = self._resume(data)
        position = self._continue_data(data) if self._data_left else 0
        end = len(data)
        while end - position >= FRAME_HEADER_BYTES:
            head, flags, stream_id = _HEADER.unpack_from(data, position)
            start = position + FRAME_HEADER_BYTES
            stop = start + (head >> 8)
            if head & 0xFF == DATA and not flags & PADDED:
                if head >> 8 > self._max_frame_bytes:
                    raise self._too_large(head)
                stream_id &= _STREAM_MASK
                if stop > end:
                    self._data_left = stop - end
                    self._data_stream = stream_id
                    self._data_ends_stream = flags & END_STREAM == END_STREAM
                    if end > start:
                        self._on_data(stream_id, data, start, end, False)
                    return
                self._on_data(stream_id, data, start, stop, flags & END_STREAM == END_STREAM)
            else:
                self._check_size(head)
                if stop > end:
                    self._keep_incomplete(data, position, stop - position)
                    return
                self._pass_on(head & 0xFF, flags, stream_id & _STREAM_MASK, data[start:stop])
            position = stop
        if position < end:
            self._keep_incomplete(data, position, FRAME_HEADER_BYTES)

    def _resume(self, data: bytes) -> bytes:
        """Return the incomplete bytes with `data` appended; nothing while they are too few."""
        incomplete = self._incomplete
        incomplete += data
        if self._preface:
            if not self._preface.startswith(incomplete[: len(PREFACE)]):
                raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, "no HTTP/2 client preface")
            if len(incomplete) < len(PREFACE):
                return b""
            self._preface = b""
            del incomplete[: len(PREFACE)]
        elif len(incomplete) < self._needed:
            return b""
        self._incomplete = bytearray()
        return bytes(incomplete)

    def _keep_incomplete(self, data: bytes, position: int, needed: int) -> None:
        self._incomplete = bytearray(memoryview(data)[position:])
        self._needed = needed

    def _continue_data(self, data: bytes) -> int:
        """Pass on more of the DATA frame that is arriving; return where it ends."""
        size = min(self._data_left, len(data))
        if not size:
            return 0
        self._data_left -= size
        ended = self._data_ends_stream and not self._data_left
        self._on_data(self._data_stream, data, 0, size, ended)
        return size

    def _pass_on(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind != DATA:
            self._on_frame(kind, flags, stream_id, payload)
            return
        # Padding counts in flow control but is no part of a message: pass it on as a DATA frame of
        # its own, ahead of the data
        body = strip_padding(payload)
        ended = flags & END_STREAM == END_STREAM
        self._on_frame(DATA, flags, stream_id, payload[: len(payload) - len(body)])
        self._on_data(stream_id, body, 0, len(body), ended)

    def _check_size(self, head: int) -> None:
        size = head >> 8
        if size > self._max_frame_bytes:
            raise self._too_large(head)
        if size > _MAX_CONTROL_BYTES and head & 0xFF != DATA:
            has_headers = head & 0xFF in (HEADERS, CONTINUATION)
            limit = self._max_header_block_bytes if has_headers else _MAX_CONTROL_BYTES
            if size > limit:
                text = f"a control frame of {size} bytes; at most {limit} are allowed"
                raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)

    def _too_large(self, head: int) -> PeerError:
        text = f"a frame of {head >> 8} bytes; SETTINGS_MAX_FRAME_SIZE is {self._max_frame_bytes}"
        return PeerError(Http2ErrorCode.FRAME_SIZE_ERROR, text)


def strip_padding(payload: bytes) -> bytes:
    """Return the content of a frame with the PADDED flag.

    Raises:
        PeerError: the padding is longer than the frame.
    """
    if not payload or payload[0] >= len(payload):
        raise PeerError(Http2ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one whole frame."""
    return _HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def data_header(size: int, stream_id: int, flags: int = 0) -> bytes:
    """Return the header of a DATA frame that carries `size` bytes."""
    return _HEADER.pack(size << 8, flags, stream_id)


def settings(values: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    """Return a PING frame; `payload` is 8 bytes."""
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last_stream_id: int, code: int, message: str = "") -> bytes:
    """Return a GOAWAY frame; `message` is its debug data."""
    debug = message.encode()[:_MAX_DEBUG_BYTES]
    return frame(GOAWAY, 0, 0, _UINT32_PAIR.pack(last_stream_id, code) + debug)


def reset(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _UINT32.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _UINT32.pack(increment))


def headers(stream_id: int, block: bytes, *, ended: bool, max_frame_bytes: int) -> bytes:
    """Return a HEADERS frame, followed by CONTINUATION frames if the block is long."""
    flags = END_STREAM if ended else 0
    if len(block) <= max_frame_bytes:
        return _HEADER.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    pieces = [block[at : at + max_frame_bytes] for at in range(0, len(block), max_frame_bytes)]
    frames = [frame(HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


def parse_uint32(payload: bytes) -> int:
    """Return the number that a WINDOW_UPDATE frame carries.

    Raises:
        PeerError: the payload is not 4 bytes long.
    """
    if len(payload) != _UINT32.size:
        text = f"a frame of {len(payload)} bytes; expected 4"
        raise PeerError(Http2ErrorCode.FRAME_SIZE_ERROR, text)
    value: int = _UINT32.unpack(payload)[0]
    return value


def parse_settings(payload: bytes) -> dict[int, int]:
    """Return the parameters of a SETTINGS frame; the last value of a repeated one counts.

    Raises:
        PeerError: the payload is not a sequence of 6-byte parameters.
    """
    if len(payload) % _SETTING.size:
        text = f"a SETTINGS frame of {len(payload)} bytes, not a multiple of 6"
        raise PeerError(Http2ErrorCode.FRAME_SIZE_ERROR, text)
    return dict(_SETTING.iter_unpack(payload))


def parse_goaway(payload: bytes) -> tuple[int, int, str]:
    """Return last stream id, error code and debug text of a GOAWAY frame.

    Raises:
        PeerError: the payload is shorter than 8 bytes.
    """
    if len(payload) < _UINT32_PAIR.size:
        text = f"a GOAWAY frame of {len(payload)} bytes; expected at least 8"
        raise PeerError(Http2ErrorCode.FRAME_SIZE_ERROR, text)
    last_stream_id, code = _UINT32_PAIR.unpack_from(payload)
    debug = payload[_UINT32_PAIR.size :][:_MAX_DEBUG_BYTES].decode("utf-8", "replace")
    return last_stream_id & _STREAM_MASK, code, debug
