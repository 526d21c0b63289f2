from __future__ import annotations

import asyncio
import random

import h2.config
import h2.connection
import h2.events
import pytest

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import (
    ECHO,
    FLOOD,
    STREAM,
    HandlerLog,
    RawPeer,
    data,
    headers,
    message,
)
from tests.transport.test_calls import CallLog
from transport import frames, http2


async def answer(peer: RawPeer, size: int, windows: list[int]) -> bytes:
    """Read an answer while granting the server `windows`; check that it does not exceed them."""
    got, allowed = b"", 0
    for window in windows:
        peer.send(frames.window_update(1, window))
        allowed += window
        while len(got) < min(allowed, size):
            _, _, stream, payload = await peer.until(http2.DATA)
            assert stream == 1
            got += payload
        assert len(got) <= allowed
    return got


@pytest.mark.parametrize("step", [1, 7, 255, 5000])
async def test_an_answer_does_not_exceed_the_peers_windows(start: Start, step: int) -> None:
    size = min(step * 40, 60_000)
    peer = await RawPeer.dial(await start(), settings={4: 0})
    peer.send(headers(1), data(1, message(b"z" * size), 1))
    await peer.until(http2.HEADERS)
    got = await answer(peer, size + 5, [step] * ((size + 5) // step + 1))
    assert got == message(b"z" * size)
    assert (await peer.until(http2.HEADERS))[1] & http2.END_STREAM
    await peer.close()


async def test_the_connection_window_bounds_all_streams_together(start: Start) -> None:
    peer = await RawPeer.dial(await start(), settings={4: 2**20})
    for stream in (1, 3):
        peer.send(headers(stream), data(stream, message(bytes(50_000)), 1))
    got = 0
    while got < 65_535:
        got += len((await peer.until(http2.DATA))[3])
    assert got == 65_535
    peer.send(frames.ping(b"anything"))
    assert (await peer.until(http2.DATA, http2.PING))[0] == http2.PING  # and no DATA before it
    peer.send(frames.window_update(0, 100_000))
    while got < 100_010:
        got += len((await peer.until(http2.DATA))[3])
    assert got == 100_010
    await peer.close()


async def test_a_new_initial_window_changes_open_streams(start: Start) -> None:
    peer = await RawPeer.dial(await start(), settings={4: 100})
    peer.send(headers(1), data(1, message(bytes(1000)), 1))
    assert len((await peer.until(http2.DATA))[3]) == 100
    peer.send(frames.settings({4: 50}))  # the window is -50 now
    peer.send(frames.window_update(1, 50), frames.ping(b"anything"))
    assert (await peer.until(http2.DATA, http2.PING))[0] == http2.PING
    peer.send(frames.settings({4: 2000}))
    got = 100
    while got < 1005:
        got += len((await peer.until(http2.DATA))[3])
    await peer.close()


async def test_an_h2_client_agrees_with_our_flow_control(start: Start) -> None:
    """h2 raises if a window is exceeded, an update is wrong, or a stream breaks the protocol."""
    other = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    address = await start(stream_window=20_000, connection_window=70_000)
    reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    other.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "http"), (":path", STREAM), (":authority", "t")]
    other.send_headers(1, [*fields, ("te", "trailers"), ("content-type", "application/grpc")])
    left, got, ended = message(bytes(300_000)), 0, False
    want = len(left)
    while not ended:
        while left and (room := min(other.local_flow_control_window(1), 16_384, len(left))) > 0:
            other.send_data(1, left[:room], end_stream=room == len(left))
            left = left[room:]
        writer.write(other.data_to_send())
        for event in other.receive_data(
            await asyncio.wait_for(reader.read(65_536), TIMEOUT_SECONDS)
        ):
            if isinstance(event, h2.events.DataReceived):
                got += len(event.data)
                other.acknowledge_received_data(event.flow_controlled_length, 1)
            ended = ended or isinstance(event, h2.events.StreamEnded)
    assert got == want
    writer.close()


@pytest.mark.parametrize("size", [0, 1, 4000, 70_000, 2 * 2**20])
async def test_a_message_sent_in_pieces_arrives_whole(start: Start, dial: Dial, size: int) -> None:
    connection = await dial(await start("127.0.0.1:0", stream_window=100_000))
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    large = random.Random(size).randbytes(size)
    for pieces in ([large], [b"head", memoryview(large), b""], [b"", large, large, b"t"], []):
        log.received.clear()
        stream.send_pieces(pieces)
        stream.send(b"next")
        while len(log.messages) < 2:
            await asyncio.wait_for(log.received.wait(), TIMEOUT_SECONDS)
            log.received.clear()
        assert log.messages == [b"".join(pieces), b"next"]
        log.messages.clear()
    assert stream.queued == 0


async def test_a_paused_stream_stops_its_peer_but_no_other_stream(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start(stream_window=50_000))
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    stream.send(b"first")
    await log.received.wait()
    call = handler_log.calls[0]
    call.pause()
    for _ in range(200):
        stream.send(bytes(1000))
    for _ in range(5):
        assert await connection.unary(ECHO, b"through", timeout=TIMEOUT_SECONDS) == b"through"
    assert stream.queued > 140_000
    assert len(log.messages) == 1
    call.resume()
    stream.half_close()
    await asyncio.wait_for(log.ended, TIMEOUT_SECONDS)
    assert len(log.messages) == 201


async def test_a_paused_client_stream_stops_the_server(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start(), stream_window=2**20)
    log = CallLog()
    stream = connection.open_stream(FLOOD, **log.callbacks)  # type: ignore[arg-type]
    stream.pause()
    for _ in range(8):
        stream.send(b"more")
    await connection.unary(ECHO, b"")
    assert handler_log.calls[0].queued >= 6 * 2**20
    assert log.messages == []
    stream.resume()
    await asyncio.wait_for(handler_log.calls[0].flushed(), TIMEOUT_SECONDS)
    while len(log.messages) < 8:
        log.received.clear()
        await asyncio.wait_for(log.received.wait(), TIMEOUT_SECONDS)
    assert log.messages == [b"x" * 2**20] * 8
