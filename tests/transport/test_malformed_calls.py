"""What RFC 9113 forbids in a call ends that call with the error that it demands."""

from __future__ import annotations

import pytest
from hpack import Encoder

from tests.transport.conftest import Start
from tests.transport.services import (
    ECHO,
    SLOW,
    STREAM,
    HandlerLog,
    RawPeer,
    data,
    headers,
    message,
)
from transport import frames, http2
from transport.http2 import Http2ErrorCode

PROTOCOL, CLOSED = Http2ErrorCode.PROTOCOL_ERROR, Http2ErrorCode.STREAM_CLOSED
ENDED = http2.END_HEADERS | http2.END_STREAM
REQUEST = {
    ":method": "POST",
    ":scheme": "http",
    ":path": ECHO,
    ":authority": "t",
    "te": "trailers",
    "content-type": "application/grpc",
}


def block(*fields: tuple[str, str]) -> bytes:
    """Return a header block that does not change the dynamic table."""
    return Encoder().encode([(name, value, True) for name, value in fields])


def request(**changes: str | None) -> bytes:
    """Return a request's block; names with `_` for `-`, None leaves a field out."""
    fields = REQUEST | {name.replace("_", "-"): value for name, value in changes.items()}
    return block(*[(name, value) for name, value in fields.items() if value is not None])


async def expect_reset(peer: RawPeer, stream: int, code: Http2ErrorCode) -> None:
    frame = await peer.until(http2.RST_STREAM, http2.GOAWAY, http2.DATA)
    assert (frame[0], frame[2], int.from_bytes(frame[3], "big")) == (http2.RST_STREAM, stream, code)


async def expect_echo(peer: RawPeer, stream: int) -> None:
    """The connection goes on, and has nothing else to say."""
    peer.send(headers(stream), data(stream, message(b"fine"), 1))
    kind, _, found, payload = await peer.until(http2.DATA, http2.RST_STREAM, http2.GOAWAY)
    assert (kind, found, payload) == (http2.DATA, stream, message(b"fine"))


MALFORMED = {
    "a connection header": request(connection="close"),
    "keep-alive": request(keep_alive="timeout=5"),
    "proxy-connection": request(proxy_connection="keep-alive"),
    "transfer-encoding": request(transfer_encoding="chunked"),
    "upgrade": request(upgrade="h2c"),
    "a name in capitals": request() + block(("X-Capital", "x")),
    "a name with a space": request() + block(("x y", "x")),
    "a name with a colon": request() + block(("x:y", "x")),
    "no name": request() + block(("", "x")),
    "a line feed": request() + block(("x-lines", "a\nb")),
    "a zero byte": request() + block(("x-lines", "a\0b")),
    "another te": request(te="gzip"),
    "te with more than trailers": request(te="trailers, deflate"),
    "two te": request() + block(("te", "gzip")),
    "an empty path": request(**{":path": ""}),
    "no path": request(**{":path": None}),
    "no scheme": request(**{":scheme": None}),
    "a content-length that is no number": request(content_length="+3"),
    "two content-lengths": request(content_length="8") + block(("content-length", "9")),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_reset(start: Start, name: str) -> None:
    peer = await RawPeer.dial(await start())
    for stream in (1, 3):  # the second block is a cached one
        peer.send(frames.frame(http2.HEADERS, http2.END_HEADERS, stream, MALFORMED[name]))
        await expect_reset(peer, stream, PROTOCOL)
        peer.send(data(stream, message(b"was on its way"), http2.END_STREAM))
    await expect_echo(peer, 5)
    await peer.close()


@pytest.mark.parametrize("field", [("connection", "close"), ("te", "gzip"), (":path", "/")])
async def test_malformed_trailers_reset_their_call(start: Start, field: tuple[str, str]) -> None:
    peer = await RawPeer.dial(await start())
    peer.send(headers(1, SLOW), data(1, message(b"x")))
    peer.send(frames.frame(http2.HEADERS, ENDED, 1, block(field)))
    await expect_reset(peer, 1, PROTOCOL)
    await expect_echo(peer, 3)
    await peer.close()


@pytest.mark.parametrize("path", [ECHO, STREAM])
@pytest.mark.parametrize("difference", [-1, 1, -8])
async def test_data_of_another_length_than_announced_resets_the_call(
    start: Start, handler_log: HandlerLog, path: str, difference: int
) -> None:
    peer = await RawPeer.dial(await start())
    whole = message(b"abc")
    peer.send(headers(1, path, ("content-length", str(len(whole) + difference))))
    peer.send(data(1, whole[:5]), data(1, whole[5:], http2.END_STREAM))
    await expect_reset(peer, 1, PROTOCOL)
    assert handler_log.metadata == handler_log.batches == []
    await expect_echo(peer, 3)
    await peer.close()


async def test_a_call_without_data_that_announces_some_is_reset(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    peer.send(headers(1, ECHO, ("content-length", "8"), flags=ENDED))
    await expect_reset(peer, 1, PROTOCOL)
    trailers = frames.frame(http2.HEADERS, ENDED, 3, block(("after", "all")))
    peer.send(headers(3, STREAM, ("content-length", "8")), trailers)
    await expect_reset(peer, 3, PROTOCOL)
    await peer.close()


async def test_data_of_the_announced_length_is_answered(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    whole = message(b"abc")
    padded = b"\2" + whole[3:] + bytes(2)  # padding is no content
    for stream, path in ((1, ECHO), (3, STREAM)):
        peer.send(headers(stream, path, ("content-length", "8")), data(stream, whole[:3]))
        peer.send(data(stream, padded, http2.PADDED | http2.END_STREAM))
        assert (await peer.until(http2.DATA))[2:] == (stream, whole)
    await peer.close()


async def test_data_on_a_closed_stream_is_refused(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    await expect_echo(peer, 1)
    for _ in range(2):  # the reset of the first one counts for the second one, too
        peer.send(data(1, message(b"more")))
    await expect_reset(peer, 1, CLOSED)
    peer.send(headers(3, SLOW), frames.reset(3, Http2ErrorCode.CANCEL), data(3, b"x"))
    await expect_reset(peer, 3, CLOSED)
    await expect_echo(peer, 5)
    peer.send(frames.frame(http2.HEADERS, ENDED, 5, block(("after", "all"))))
    await expect_reset(peer, 5, CLOSED)
    await expect_echo(peer, 7)
    await peer.close()


async def test_data_on_a_half_closed_stream_is_refused(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    peer.send(headers(1, SLOW), data(1, message(b"x"), http2.END_STREAM), data(1, b"x"))
    await expect_reset(peer, 1, CLOSED)
    await expect_echo(peer, 3)
    await peer.close()


async def test_data_that_was_on_its_way_when_we_reset_its_stream_is_dropped(start: Start) -> None:
    peer = await RawPeer.dial(await start())
    peer.send(headers(1, "/no.S/M"))
    await expect_reset(peer, 1, Http2ErrorCode.NO_ERROR)
    peer.send(data(1, message(b"x")), frames.frame(http2.HEADERS, ENDED, 1, block(("a", "b"))))
    await expect_echo(peer, 3)
    await peer.close()


async def test_how_many_reset_streams_are_remembered_is_limited(start: Start) -> None:
    peer = await RawPeer.dial(await start(max_concurrent_streams=2))
    for stream in (1, 3, 5):
        peer.send(headers(stream, "/no.S/M"))
        await expect_reset(peer, stream, Http2ErrorCode.NO_ERROR)
    peer.send(data(5, b"x"), data(1, b"x"))
    await expect_reset(peer, 1, CLOSED)
    await peer.close()
