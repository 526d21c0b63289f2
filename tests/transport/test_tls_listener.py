"""Clients in the middle of the TLS handshake, on uvloop and on asyncio's own loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from tests.authority import Authority, wait_until_closed
from tests.timing import TIMEOUT_SECONDS
from tests.transport.services import ECHO, HandlerLog, data, headers, message, router
from transport import ClientTls, GrpcLimits, GrpcServer, ServerTls, connect, frames, http2
from transport.tls_listener import TlsListener

MIN_HANDSHAKES = 16
LONG = 60.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on both event loops."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    limits = GrpcLimits(handshake_seconds=LONG)
    made = GrpcServer(router(HandlerLog()), limits=limits, max_connections=MIN_HANDSHAKES)
    yield made
    made.close()
    await wait_until_closed()


async def listening(server: GrpcServer, authority: Authority) -> tuple[str, int]:
    address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
    host, _, port = address.rpartition(":")
    return host, int(port)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the server closes a connection."""
    with suppress(ConnectionError):
        assert await reader.read() == b""


async def test_at_the_limit_of_handshakes_the_oldest_are_closed(
    server: GrpcServer, authority: Authority
) -> None:
    host, port = await listening(server, authority)
    silent = [await asyncio.open_connection(host, port) for _ in range(MIN_HANDSHAKES + 10)]
    async with asyncio.timeout(LONG / 4):
        for reader, _ in silent[:10]:
            await ended(reader)
        connection = await connect(f"grpcs://{host}:{port}", tls=ClientTls(ca=authority.ca))
        assert await connection.unary(ECHO, b"hello", timeout=TIMEOUT_SECONDS) == b"hello"
        await ended(silent[10][0])
    connection.close()
    assert not any(reader.at_eof() for reader, _ in silent[11:])
    server.close()
    async with asyncio.timeout(LONG / 4):
        for reader, writer in silent:
            await ended(reader)
            writer.close()


async def test_data_sent_with_the_end_of_the_handshake_is_read(
    server: GrpcServer, authority: Authority
) -> None:
    host, port = await listening(server, authority)
    reader, writer = await asyncio.open_connection(host, port)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with asyncio.timeout(LONG / 4):
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        tls.write(http2.PREFACE + frames.settings({}) + headers(1, ECHO))
        tls.write(data(1, message(b"hello"), 1))
        writer.write(outgoing.read())  # the end of the handshake is in it
        received = b""
        while message(b"hello") not in received:
            incoming.write(await reader.read(65_536))
            with suppress(ssl.SSLWantReadError):
                while True:
                    received += tls.read(65_536)
    writer.transport.abort()


async def test_a_client_that_disconnects_frees_its_place(
    server: GrpcServer, authority: Authority
) -> None:
    host, port = await listening(server, authority)
    for _ in range(3 * MIN_HANDSHAKES):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        writer.transport.abort()
    connection = await connect(f"grpcs://{host}:{port}", tls=ClientTls(ca=authority.ca))
    assert await connection.unary(ECHO, b"hello", timeout=TIMEOUT_SECONDS) == b"hello"
    connection.close()


async def test_a_client_that_was_not_accepted_yet_gets_its_handshake(authority: Authority) -> None:
    made: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()
            made.set_result(None)

    port = socket.create_server(("127.0.0.1", 0))
    listener = TlsListener(
        port,
        ServerTls(authority.issue("server")).context,
        Protocol,
        handshake_seconds=lambda: LONG,
        max_connections=lambda: MIN_HANDSHAKES,
    )
    # The kernel makes the connection: the event loop has had no turn to accept it.
    client = socket.create_connection(port.getsockname())
    listener.close()
    trusting = ssl.create_default_context(cafile=authority.ca)
    with await asyncio.to_thread(trusting.wrap_socket, client, server_hostname="localhost"):
        await asyncio.wait_for(made, LONG / 4)
    await wait_until_closed()
