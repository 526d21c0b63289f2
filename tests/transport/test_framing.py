from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport import RpcError, StatusCode, frames, http2
from transport.frames import FrameParser
from transport.messages import DECOMPRESSORS, BufferBudget, MessageReader

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([http2.DATA, http2.DATA, http2.PING, http2.HEADERS, 0x77]),
        st.sampled_from([0, http2.END_STREAM]),
        st.integers(1, 2**31 - 1),
        st.binary(max_size=60),
    ),
    max_size=12,
)


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[start:stop] for start, stop in pairwise(at)]


@given(FRAMES, st.lists(st.integers(0, 2000)), st.booleans())
def test_frames_are_the_same_however_their_bytes_arrive(
    sent: list[tuple[int, int, int, bytes]], places: list[int], preface: bool
) -> None:
    log: list[list[object]] = []

    def on_data(stream: int, data: bytes, start: int, end: int, ended: bool) -> None:
        last = log[-1] if log else None
        if last and last[0] == "open" and last[1] == stream:
            last[2] += data[start:end]  # type: ignore[operator]
        else:
            last = ["open", stream, data[start:end], False]
            log.append(last)
        last[3] = ended
        if ended or parser_is_done():
            last[0] = "data"

    def parser_is_done() -> bool:
        return parser._data_left == 0

    def on_frame(kind: int, flags: int, stream: int, payload: bytes) -> None:
        log.append([kind, flags, stream, payload])

    parser = FrameParser(
        on_data,
        on_frame,
        max_frame_bytes=16384,
        max_header_block_bytes=16384,
        expect_preface=preface,
    )
    wire = (http2.PREFACE if preface else b"") + b"".join(frames.frame(*one) for one in sent)
    for piece in cut(wire, places):
        parser.feed(piece)
    expected = [
        ["data", stream, payload, flags == 1]
        if kind == http2.DATA
        else [kind, flags, stream, payload]
        for kind, flags, stream, payload in sent
    ]
    assert log == expected


@given(st.lists(st.binary(max_size=300), max_size=10), st.lists(st.integers(0, 4000)))
def test_messages_are_the_same_however_their_bytes_arrive(
    sent: list[bytes], places: list[int]
) -> None:
    budget = BufferBudget(10**6)
    reader = MessageReader(1000, budget)
    wire = b"".join(b"\0" + len(one).to_bytes(4, "big") + one for one in sent)
    got = [
        one for piece in cut(wire, places) for one in reader.feed(b"??" + piece, 2, 2 + len(piece))
    ]
    assert got == sent
    assert reader.between_messages
    assert budget.used == 0


def test_padding_is_counted_but_not_delivered() -> None:
    log: list[object] = []
    parser = FrameParser(
        lambda _s, data, start, end, ended: log.append((data[start:end], ended)),
        lambda kind, _f, _s, payload: log.append((kind, len(payload))),
        max_frame_bytes=100,
        max_header_block_bytes=100,
        expect_preface=False,
    )
    parser.feed(frames.frame(http2.DATA, http2.PADDED | 1, 1, b"\x03abc\0\0\0"))
    assert log == [(http2.DATA, 4), (b"abc", True)]


def test_a_compression_bomb_is_refused_before_it_is_decompressed() -> None:
    reader = MessageReader(10_000, BufferBudget(10**6))
    reader.decompress = DECOMPRESSORS[b"gzip"]
    packed = gzip.compress(bytes(10**7))[:]
    packed = packed if len(packed) <= 10_000 else gzip.compress(bytes(10**6))
    with pytest.raises(RpcError) as caught:
        reader.feed(b"\1" + len(packed).to_bytes(4, "big") + packed, 0, 5 + len(packed))
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
