"""Clients in the middle of TLS's handshake, on the loop that we serve with and on Python's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from tests.authority import Authority, hung_up
from tests.transport.services import ECHO, Seen, data, headers, message, router
from transport import ClientTls, Limits, Server, ServerTls, connect, frames, http2

FEWEST = 16
LONG = 60.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on both."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    limits = Limits(handshake_seconds=LONG)
    made = Server(router(Seen()), limits=limits, max_connections=FEWEST)
    yield made
    made.close()
    await hung_up()


async def listening(server: Server, authority: Authority) -> tuple[str, int]:
    address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
    host, _, port = address.rpartition(":")
    return host, int(port)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the server closes a connection."""
    with suppress(ConnectionError):
        assert await reader.read() == b""


async def test_those_that_began_first_give_way_where_there_are_too_many(
    server: Server, authority: Authority
) -> None:
    host, port = await listening(server, authority)
    silent = [await asyncio.open_connection(host, port) for _ in range(FEWEST + 10)]
    async with asyncio.timeout(LONG / 4):
        for reader, _ in silent[:10]:
            await ended(reader)
        link = await connect(f"grpcs://{host}:{port}", tls=ClientTls(ca=authority.ca))
        assert await link.unary(ECHO, b"hello", timeout=5) == b"hello"
        await ended(silent[10][0])
    link.close()
    assert not any(reader.at_eof() for reader, _ in silent[11:])
    server.close()
    async with asyncio.timeout(LONG / 4):
        for reader, writer in silent:
            await ended(reader)
            writer.close()


async def test_what_comes_with_the_end_of_the_handshake_is_read(
    server: Server, authority: Authority
) -> None:
    host, port = await listening(server, authority)
    reader, writer = await asyncio.open_connection(host, port)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaken = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with asyncio.timeout(LONG / 4):
        while True:
            try:
                shaken.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        shaken.write(http2.PREFACE + frames.settings({}) + headers(1, ECHO))
        shaken.write(data(1, message(b"hello"), 1))
        writer.write(outgoing.read())  # the end of the handshake is in it
        said = b""
        while message(b"hello") not in said:
            incoming.write(await reader.read(65_536))
            with suppress(ssl.SSLWantReadError):
                while True:
                    said += shaken.read(65_536)
    writer.transport.abort()


async def test_a_client_that_leaves_is_forgotten(server: Server, authority: Authority) -> None:
    host, port = await listening(server, authority)
    for _ in range(3 * FEWEST):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        writer.transport.abort()
    link = await connect(f"grpcs://{host}:{port}", tls=ClientTls(ca=authority.ca))
    assert await link.unary(ECHO, b"hello", timeout=5) == b"hello"
    link.close()
