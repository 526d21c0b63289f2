"""Connections without calls, and calls that do not progress."""

from __future__ import annotations

import asyncio
import time

from tests.timing import Timer
from tests.transport.conftest import Dial, Start
from tests.transport.services import ECHO, STREAM, RawPeer, data, headers, message
from transport import GrpcServer, StatusCode, frames, http2

SECONDS = 0.3


async def test_a_unary_call_without_its_message_times_out(start: Start) -> None:
    peer = await RawPeer.dial(await start(message_seconds=SECONDS))
    timer = Timer()
    peer.send(headers(1), data(1, b"\0"))
    _, flags, stream, block = await peer.until(http2.HEADERS)
    assert (stream, flags & http2.END_STREAM) == (1, 1)
    assert b"%d" % StatusCode.DEADLINE_EXCEEDED in block
    assert timer.elapsed > SECONDS * 0.9
    peer.send(headers(3), data(3, message(b"quick"), 1))
    assert (await peer.until(http2.DATA))[3] == message(b"quick")
    await peer.close()


async def test_an_incomplete_header_block_times_out(start: Start) -> None:
    peer = await RawPeer.dial(await start(message_seconds=SECONDS))
    peer.send(headers(1, flags=0))
    assert await peer.goaway() == http2.Http2ErrorCode.ENHANCE_YOUR_CALM
    await peer.close()


async def test_a_stream_may_be_silent(start: Start) -> None:
    peer = await RawPeer.dial(await start(message_seconds=SECONDS, idle_seconds=SECONDS))
    peer.send(headers(1, STREAM))
    await asyncio.sleep(4 * SECONDS)
    peer.send(data(1, message(b"awake")))
    assert (await peer.until(http2.DATA))[3] == message(b"awake")
    await peer.close()


async def test_a_connection_without_calls_is_closed_even_if_it_sends_pings(start: Start) -> None:
    peer = await RawPeer.dial(await start(idle_seconds=SECONDS))
    peer.send(headers(1), data(1, message(b"first"), 1))
    await peer.until(http2.DATA)
    peer.send(frames.ping(b"12345678"))
    assert await peer.goaway() == http2.Http2ErrorCode.NO_ERROR
    await peer.close()


async def test_a_connection_in_use_stays_open(start: Start, dial: Dial) -> None:
    connection = await dial(await start(idle_seconds=2 * SECONDS))
    until = time.monotonic() + 6 * SECONDS
    while time.monotonic() < until:
        assert await connection.unary(ECHO, b"alive") == b"alive"
        await asyncio.sleep(SECONDS / 3)


async def test_at_the_connection_limit_an_idle_connection_is_evicted(
    start: Start, servers: list[GrpcServer]
) -> None:
    address = await start(server={"max_connections": 2, "evict_idle": True})
    busy, idle = await RawPeer.dial(address), await RawPeer.dial(address)
    busy.send(headers(1, STREAM))
    await busy.until(http2.HEADERS)
    newcomer = await RawPeer.dial(address)
    assert await idle.goaway() == http2.Http2ErrorCode.NO_ERROR
    newcomer.send(headers(1, STREAM))
    await newcomer.until(http2.HEADERS)
    last = await RawPeer.dial(address)
    await last.goaway()
    assert len(servers[0].connections) == 2, "both have a call"
    for peer in (busy, idle, newcomer, last):
        await peer.close()
