"""Each abuse ends its own connection or call, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections.abc import Iterable

import pytest
from hpack import Encoder

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import (
    ECHO,
    FLOOD,
    SLOW,
    STREAM,
    HandlerLog,
    RawPeer,
    data,
    headers,
    message,
    request_headers,
)
from transport import StatusCode, frames, http2
from transport.http2 import Http2ErrorCode

CALM, PROTOCOL = Http2ErrorCode.ENHANCE_YOUR_CALM, Http2ErrorCode.PROTOCOL_ERROR
MANY = 50_000


def resets() -> Iterable[bytes]:
    for number in range(1, 2 * MANY, 2):
        yield headers(number, STREAM) + frames.reset(number, Http2ErrorCode.CANCEL)


def refused() -> Iterable[bytes]:
    for number in range(1, 2 * MANY, 2):
        yield headers(number, STREAM)


FLOODS = {
    "settings": (frames.settings({}) for _ in range(MANY)),
    "pings": (frames.ping(b"12345678") for _ in range(MANY)),
    "pongs": (frames.ping(b"12345678", ack=True) for _ in range(MANY)),
    "rapid resets": resets(),
    "too many streams": refused(),
    "empty data": itertools.chain([headers(1, STREAM)], (data(1, b"") for _ in range(MANY))),
    "priority": (frames.frame(http2.PRIORITY, 0, 1, b"\0\0\0\0\1") for _ in range(MANY)),
    "unknown frames": (frames.frame(0x99, 0, 0, b"?") for _ in range(MANY)),
    "window updates": (frames.window_update(0, 1) for _ in range(MANY)),
    "window updates of a stream": itertools.chain(
        [headers(1, STREAM)], (frames.window_update(1, 1) for _ in range(MANY))
    ),
    "continuations": itertools.chain(
        [headers(1, flags=0)], (frames.frame(http2.CONTINUATION, 0, 1) for _ in range(MANY))
    ),
    "data after the end": itertools.chain(
        [headers(1, "/no.S/M", flags=0x5)], (data(1, b"x") for _ in range(MANY))
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_ends_its_own_connection_only(start: Start, dial: Dial, name: str) -> None:
    limits = {"max_useless_frames": 500, "max_resets": 500, "max_concurrent_streams": 100}
    address = await start(**limits)
    neighbour = await dial(address)
    peer = await RawPeer.dial(address)
    code = await peer.flood(FLOODS[name])
    # A peer that is still sending when the socket closes may be cut off before it reads GOAWAY
    assert code in (CALM, -1)
    assert await neighbour.unary(ECHO, b"alive", timeout=TIMEOUT_SECONDS) == b"alive"
    await peer.close()


WRONG = {
    "a frame that is too large": (b"\xff\xff\xff\0\0\0\0\0\1", Http2ErrorCode.FRAME_SIZE_ERROR),
    "a control frame that is too large": (b"\x02\x00\x00\x77\0\0\0\0\0", CALM),
    "a large header block": (frames.frame(1, 4, 1, bytes(16_300) + request_headers()), None),
    "a ping of 7 bytes": (
        frames.frame(http2.PING, 0, 0, b"1234567"),
        Http2ErrorCode.FRAME_SIZE_ERROR,
    ),
    "a ping on a stream": (frames.frame(http2.PING, 0, 1, bytes(8)), PROTOCOL),
    "settings of 5 bytes": (frames.frame(4, 0, 0, bytes(5)), Http2ErrorCode.FRAME_SIZE_ERROR),
    "a huge window": (frames.settings({4: 2**31}), Http2ErrorCode.FLOW_CONTROL_ERROR),
    "a tiny frame size": (frames.settings({5: 100}), PROTOCOL),
    "an update by 0": (frames.window_update(0, 0), PROTOCOL),
    "a window that overflows": (
        frames.window_update(0, 2**31 - 1),
        Http2ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "data on an idle stream": (data(5, b"x"), PROTOCOL),
    "a reset of an idle stream": (frames.reset(5, 8), PROTOCOL),
    "headers on an even stream": (headers(2), PROTOCOL),
    "headers on stream 0": (headers(0), PROTOCOL),
    "a push promise": (frames.frame(http2.PUSH_PROMISE, 4, 1, bytes(4)), PROTOCOL),
    "a continuation without headers": (frames.frame(http2.CONTINUATION, 4, 1), PROTOCOL),
    "a frame within headers": (headers(1, flags=0) + frames.ping(bytes(8)), PROTOCOL),
    "data within headers": (headers(1, flags=0) + data(1, b"x"), PROTOCOL),
    "padding beyond the frame": (headers(1) + data(1, b"\x09abc", 0x8), PROTOCOL),
    "broken hpack": (
        frames.frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        Http2ErrorCode.COMPRESSION_ERROR,
    ),
    "a truncated goaway": (
        frames.frame(http2.GOAWAY, 0, 0, bytes(3)),
        Http2ErrorCode.FRAME_SIZE_ERROR,
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_protocol_violation_is_answered_with_its_code(start: Start, name: str) -> None:
    wire, code = WRONG[name]
    peer = await RawPeer.dial(await start())
    peer.send(wire)
    assert await peer.goaway() in (
        [code] if code is not None else [CALM, Http2ErrorCode.COMPRESSION_ERROR]
    )
    await peer.close()


async def test_a_header_bomb_is_not_decompressed(start: Start, dial: Dial) -> None:
    address = await start()
    neighbour, peer = await dial(address), await RawPeer.dial(address)
    encoder = Encoder()
    big = ("x-bomb", "y" * 3900)
    block = encoder.encode([(":method", "POST"), (":path", ECHO), big])
    block += encoder.encode([big]) * 5000  # a byte each, 4 KB unpacked: 20 MB
    peer.send(frames.frame(http2.HEADERS, 4, 1, block))
    assert await peer.goaway() == CALM
    assert await neighbour.unary(ECHO, b"alive") == b"alive"
    await peer.close()


@pytest.mark.parametrize("continued", [False, True])
async def test_oversized_headers_end_their_own_call_only(start: Start, continued: bool) -> None:
    peer = await RawPeer.dial(await start())
    peer.send(headers(1, STREAM))
    await peer.until(http2.HEADERS)
    encoder = Encoder()  # one for both blocks: the second refers to what the first one has added
    fields = [(":method", "POST"), (":scheme", "http"), (":path", ECHO), ("te", "trailers")]
    fields += [("content-type", "application/grpc"), ("x-small", "kept")]
    block = encoder.encode([*fields, ("x-large", "y" * 30_000, True)])
    if continued:
        pieces = frames.frame(http2.HEADERS, 0, 3, block[:9000])
        peer.send(pieces, frames.frame(http2.CONTINUATION, http2.END_HEADERS, 3, block[9000:]))
    else:
        peer.send(frames.frame(http2.HEADERS, http2.END_HEADERS, 3, block))
    _, flags, stream, refusal = await peer.until(http2.HEADERS)
    assert (stream, flags & http2.END_STREAM) == (3, 1)
    assert b"\x0bgrpc-status\x018" in refusal
    again = encoder.encode(fields)
    assert len(again) < 10  # indices of the table
    peer.send(frames.frame(http2.HEADERS, 4, 5, again), data(5, message(b"fine"), 1))
    assert (await peer.until(http2.DATA))[2:] == (5, message(b"fine"))
    peer.send(data(1, message(b"still open")))
    assert (await peer.until(http2.DATA))[2:] == (1, message(b"still open"))
    await peer.close()


async def test_a_call_whose_trailers_are_oversized_ends_alone(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    trailers = Encoder().encode([("x-large", "y" * 30_000, True)])
    peer.send(headers(1, SLOW), frames.frame(http2.HEADERS, 4 | http2.END_STREAM, 1, trailers))
    peer.send(headers(3, "/no.S/M", flags=5), frames.frame(http2.HEADERS, 5, 3, trailers))
    peer.send(headers(5), data(5, message(b"fine"), 1))
    assert (await peer.until(http2.DATA))[2:] == (5, message(b"fine"))
    await peer.close()


async def test_oversized_headers_over_and_over_end_the_connection(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    large = Encoder().encode([(":method", "POST", True), ("x-large", "y" * 30_000, True)])
    calls = (frames.frame(http2.HEADERS, 5, number, large) for number in range(1, 1000, 2))
    assert await peer.flood(calls) in (CALM, -1)
    await peer.close()


async def test_endless_continuations_are_refused(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    part = frames.frame(http2.CONTINUATION, 0, 1, bytes(8000))
    assert await peer.flood([headers(1, flags=0), *[part] * 100]) in (CALM, -1)
    await peer.close()


async def test_a_client_without_preface_or_settings_is_disconnected(start: Start) -> None:
    address = await start(handshake_seconds=0.1)
    for first_bytes in (b"GET / HTTP/1.1\r\n\r\n", http2.PREFACE + frames.ping(bytes(8))):
        peer = RawPeer(*await asyncio.open_unix_connection(address.removeprefix("unix:")))
        peer.send(first_bytes)
        assert await peer.goaway() == PROTOCOL
        await peer.close()
    for incomplete in (b"", http2.PREFACE[:5], http2.PREFACE):
        peer = RawPeer(*await asyncio.open_unix_connection(address.removeprefix("unix:")))
        peer.send(incomplete)
        await peer.goaway()  # ends, with or without GOAWAY
        await peer.close()


async def test_connections_past_the_limit_are_closed(start: Start, dial: Dial) -> None:
    address = await start(server={"max_connections": 1})
    first = await dial(address)
    second = await RawPeer.dial(address)
    await second.goaway()
    assert await first.unary(ECHO, b"alive") == b"alive"
    await second.close()


@pytest.mark.parametrize("claim", [1001, 2**32 - 1])
async def test_a_message_that_is_too_large_ends_its_own_call_only(start: Start, claim: int) -> None:
    peer = await RawPeer.dial(await start(max_message_bytes=1000))
    peer.send(headers(1), data(1, b"\0" + claim.to_bytes(4, "big")), data(1, b"more"))
    _, flags, stream, block = await peer.until(http2.HEADERS)
    assert (stream, flags & http2.END_STREAM) == (1, 1)
    assert b"%d" % StatusCode.RESOURCE_EXHAUSTED in block
    peer.send(headers(3), data(3, message(b"fine"), 1))
    assert (await peer.until(http2.DATA))[3] == message(b"fine")
    await peer.close()


async def test_incomplete_messages_share_a_budget(start: Start) -> None:
    limits = {"max_message_bytes": 100_000, "max_buffered_bytes": 170_000}
    peer = await RawPeer.dial(await start(**limits))
    start_of_large = b"\0" + (100_000).to_bytes(4, "big") + bytes(60_000)
    for stream in (1, 3, 5):
        peer.send(headers(stream, STREAM), data(stream, start_of_large))
    while True:
        _, flags, stream, block = await peer.until(http2.HEADERS)
        if flags & http2.END_STREAM:
            break
    assert (stream, b"8" in block) == (5, True)
    peer.send(data(1, bytes(40_000)))
    assert (await peer.until(http2.DATA))[2] == 1
    await peer.close()


async def test_a_request_that_is_not_grpc_is_refused_and_the_connection_kept(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    wrong = Encoder().encode(
        [
            (":method", "POST", True),
            (":scheme", "http", True),
            (":path", ECHO, True),
            ("content-type", "text/html", True),
        ]
    )
    peer.send(frames.frame(http2.HEADERS, 5, 1, wrong))
    _, flags, stream, block = await peer.until(http2.HEADERS)
    assert (stream, flags & 1) == (1, 1)
    assert b"415" in block
    pathless = Encoder().encode([(":method", "POST", True)])
    peer.send(frames.frame(http2.HEADERS, 5, 3, pathless))
    assert (await peer.until(http2.RST_STREAM))[2] == 3
    peer.send(headers(5, ECHO, ("grpc-timeout", "never"), flags=5))
    assert b"13" in (await peer.until(http2.HEADERS))[3]
    peer.send(headers(7), data(7, b"\1\0\0\0\1x", 1))  # compressed, but not announced
    assert b"12" in (await peer.until(http2.HEADERS))[3]
    await peer.close()


async def test_more_data_than_the_window_allows_is_refused(start: Start) -> None:
    peer = await RawPeer.dial(await start(stream_window=1000))
    peer.send(headers(1, STREAM), data(1, b"\0\0\0\xff\xff" + bytes(1001)))
    reset = await peer.until(http2.RST_STREAM)
    assert (reset[2], reset[3][-1]) == (1, Http2ErrorCode.FLOW_CONTROL_ERROR)
    peer.send(headers(3), data(3, message(b"fine"), 1))
    assert (await peer.until(http2.DATA))[3] == message(b"fine")
    await peer.close()


@pytest.mark.parametrize("how", ["closed windows", "unread socket"])
async def test_a_slow_reader_is_disconnected_before_memory_fills(
    start: Start, dial: Dial, handler_log: HandlerLog, how: str
) -> None:
    address = await start(max_queued_bytes=20 * 2**20)
    neighbour = await dial(address)
    window = 0 if how == "closed windows" else 2**31 - 1
    peer = await RawPeer.dial(address, settings={4: window})
    if how == "unread socket":
        peer.send(frames.window_update(0, 2**30))
    tracemalloc.start()
    try:
        peer.send(headers(1, FLOOD), *[data(1, message(b"more"))] * 500)  # one read, 500 answers
        await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * 2**20  # bytes; 500 answers would be 500 MiB
    assert await neighbour.unary(ECHO, b"alive", timeout=TIMEOUT_SECONDS) == b"alive"
    await peer.close()


async def test_a_connection_that_is_never_read_is_aborted(
    start: Start, handler_log: HandlerLog
) -> None:
    peer = await RawPeer.dial(await start(stall_seconds=0.2), settings={4: 2**31 - 1})
    peer.send(frames.window_update(0, 2**30), headers(1, FLOOD), *[data(1, message(b"x"))] * 5)
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
    await peer.close()
