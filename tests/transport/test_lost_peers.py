from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import ECHO, SLOW, STREAM, HandlerLog, RawPeer, data, headers
from tests.transport.test_calls import CallLog
from transport import GrpcConnection, GrpcLimits, RpcError, StatusCode, connect, frames, http2

PROCESS = """
import asyncio, sys
from tests.transport.services import HandlerLog, router
from transport import GrpcServer
async def main():
    await GrpcServer(router(HandlerLog())).listen(sys.argv[1])
    print("listening", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.processes
async def test_a_killed_server_fails_every_call_at_once(folder: Path) -> None:
    address = f"unix:{folder}/killed"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    connection = await connect(address)
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    stream.send(b"x")
    await log.received.wait()
    waiting = asyncio.create_task(connection.unary(SLOW, b""))
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    assert (await asyncio.wait_for(log.ended, TIMEOUT_SECONDS)).code is StatusCode.UNAVAILABLE
    with pytest.raises(RpcError) as caught:
        await asyncio.wait_for(waiting, TIMEOUT_SECONDS)
    assert caught.value.code is StatusCode.UNAVAILABLE
    assert (
        await asyncio.wait_for(connection.closed, TIMEOUT_SECONDS)
    ).code is StatusCode.UNAVAILABLE
    assert connection.in_flight == 0
    with pytest.raises(RpcError):
        await connection.unary(ECHO, b"")
    await process.wait()


@pytest.mark.parametrize("cut", [1, 5, 9, 12, 20])
async def test_a_client_lost_in_the_middle_of_a_frame_cancels_its_call(
    start: Start, dial: Dial, handler_log: HandlerLog, cut: int
) -> None:
    address = await start()
    neighbour, peer = await dial(address), await RawPeer.dial(address)
    peer.send(headers(1, STREAM), data(1, b"\0\0\0\0\x64" + bytes(100))[:cut])
    while not handler_log.calls:
        await peer.until(http2.HEADERS)
    peer.writer.transport.abort()
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
    assert await neighbour.unary(ECHO, b"alive") == b"alive"


@asynccontextmanager
async def scripted_server(
    folder: Path, script: bytes, **limits: Any
) -> AsyncIterator[GrpcConnection]:
    """Connect to a server that sends `script` after the first HEADERS, then disconnects.

    With a keepalive it stays connected and silent.
    """
    over = asyncio.Event()
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        try:
            await reader.readexactly(len(http2.PREFACE))
            peer.send(frames.settings({}))
            await peer.until(http2.HEADERS)
            peer.send(script)
            await writer.drain()
            if "keepalive_seconds" in limits:
                await over.wait()
        finally:
            await peer.close()
            served.set()

    server = await asyncio.start_unix_server(serve, f"{folder}/scripted")
    connection = await connect(f"unix:{folder}/scripted", limits=GrpcLimits(**limits))
    try:
        yield connection
    finally:
        over.set()
        connection.close()
        server.close()
        await asyncio.wait_for(served.wait(), TIMEOUT_SECONDS)
        await server.wait_closed()


OPEN = frames.frame(http2.HEADERS, 4, 1, b"\x88\x0f\x10\x10application/grpc")
ANSWERS = {
    "silence": (b"", StatusCode.UNAVAILABLE),
    "half a frame": (OPEN + data(1, bytes(50))[:20], StatusCode.UNAVAILABLE),
    "half a message": (OPEN + data(1, b"\0\0\0\0\x64abc", 1), StatusCode.INTERNAL),
    "no trailers": (OPEN + data(1, b"", 1), StatusCode.INTERNAL),
    "a reset": (frames.reset(1, 7), StatusCode.UNAVAILABLE),
    "a calming reset": (frames.reset(1, 11), StatusCode.RESOURCE_EXHAUSTED),
    "goaway before the call": (frames.goaway(0, 0), StatusCode.UNAVAILABLE),
    "http 503": (frames.frame(1, 5, 1, b"\x08\x03503"), StatusCode.UNAVAILABLE),
    "http 404": (frames.frame(1, 5, 1, b"\x8d"), StatusCode.UNIMPLEMENTED),
    "html": (frames.frame(1, 4, 1, b"\x88\x0f\x10\x09text/html"), StatusCode.UNKNOWN),
    "a large message": (OPEN + data(1, b"\0\xff\xff\xff\xff"), StatusCode.RESOURCE_EXHAUSTED),
    "a pushed stream": (frames.frame(5, 4, 1, bytes(4)), StatusCode.UNAVAILABLE),
    "a frame of 16 MiB": (b"\xff\xff\xff\0\0\0\0\0\1", StatusCode.UNAVAILABLE),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_misbehaving_server_fails_the_call_with_a_status(folder: Path, name: str) -> None:
    script, code = ANSWERS[name]
    async with scripted_server(folder, script) as connection:
        with pytest.raises(RpcError) as caught:
            await connection.unary(ECHO, b"", timeout=TIMEOUT_SECONDS)
        assert caught.value.code is code


async def test_a_peer_that_does_not_answer_pings_is_disconnected(folder: Path) -> None:
    async with scripted_server(folder, b"", keepalive_seconds=0.05) as connection:
        with pytest.raises(RpcError) as caught:
            await connection.unary(ECHO, b"")
    assert "keepalive pings" in caught.value.message
