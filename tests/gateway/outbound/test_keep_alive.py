"""Connections are kept alive and reused, with real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from gateway.outbound import http as outbound
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from tests.gateway.outbound.servers import StaticResolver
from tests.timing import TIMEOUT_SECONDS

MEGABYTE = 1_000_000


class KeepAliveServer:
    """A server that answers every request on a connection, and records what it saw."""

    def __init__(self) -> None:
        self.url = ""
        self.opened = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.sizes: list[int] = []
        self.answer = b"thanks"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                _, _, length = head.partition("content-length: ")
                body = await reader.readexactly(int(length.split("\r\n")[0] or 0))
                self.sizes.append(len(body))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(self.answer))
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def send(self, http: GuardedHttpClient, body: bytes = b"hello") -> OutboundResponse:
        """Send a request to this server."""
        call = OutboundRequest(
            method="POST",
            url=self.url,
            headers={},
            body=body,
            max_bytes=2 * MEGABYTE,
        )
        return await http.send(call, asyncio.get_running_loop().time() + 10)

    async def until_open(self, count: int) -> None:
        """Wait until that many connections are open."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(self.open) != count:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def keep_alive_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[KeepAliveServer]:
    kept = KeepAliveServer()
    server = await asyncio.start_server(kept.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    kept.url = f"https://shop.example:{port}/" if tls else f"http://127.0.0.1:{port}/"
    yield kept
    server.close()


def client(connections: int = 10, *, tls: ssl.SSLContext | None = None) -> GuardedHttpClient:
    return GuardedHttpClient(
        [ip_network("127.0.0.0/8")],
        allow_http=True,
        resolver=StaticResolver(shop_example=[["127.0.0.1"]]),
        ssl_context=tls,
        max_connections=connections,
    )


async def test_sequential_requests_share_a_connection() -> None:
    async with keep_alive_server() as server, client() as http:
        for _ in range(5):
            assert (await server.send(http)).body == b"thanks"
    assert (server.opened, server.sizes) == (1, [5] * 5)


async def test_concurrent_requests_have_a_connection_each_and_reuse_them() -> None:
    async with keep_alive_server() as server, client() as http:
        for _ in range(3):
            await asyncio.gather(*(server.send(http) for _ in range(5)))
    assert server.opened == 5


async def test_requests_beyond_the_maximum_wait() -> None:
    async with keep_alive_server() as server, client(connections=2) as http:
        await asyncio.gather(*(server.send(http) for _ in range(20)))
    assert len(server.sizes) == 20
    assert server.opened == 2


async def test_a_connection_closed_by_the_server_is_not_reused() -> None:
    async with keep_alive_server() as server, client() as http:
        await server.send(http)
        for writer in list(server.open):
            writer.close()
        await server.until_open(0)
        assert (await server.send(http)).status == 200
    assert server.opened == 2


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_KEEPALIVE_SECONDS", 0.05)
    async with keep_alive_server() as one, keep_alive_server() as other, client() as http:
        await one.send(http)
        await asyncio.sleep(0.1)
        await other.send(http)
        await one.until_open(0)
        await one.send(http)
    assert (one.opened, other.opened) == (2, 1)


async def test_only_so_many_origins_keep_idle_connections() -> None:
    async with (
        keep_alive_server() as one,
        keep_alive_server() as other,
        client(connections=1) as http,
    ):
        for _ in range(2):
            await one.send(http)
            await other.send(http)
            await other.until_open(0)
        assert (one.opened, len(one.open), other.opened) == (1, 1, 2)


async def test_closing_the_client_closes_all_connections() -> None:
    async with keep_alive_server() as server:
        async with client() as http:
            await asyncio.gather(*(server.send(http) for _ in range(3)))
        await server.until_open(0)


async def test_large_bodies_go_both_ways() -> None:
    async with keep_alive_server() as server, client() as http:
        server.answer = b"x" * MEGABYTE
        for _ in range(2):
            assert len((await server.send(http, b"y" * MEGABYTE)).body) == MEGABYTE
    assert (server.opened, server.sizes) == (1, [MEGABYTE] * 2)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connections_are_reused_with_tls(
    certificate: tuple[Path, Path], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def send_twice() -> tuple[int, list[int]]:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.load_cert_chain(*certificate)
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with keep_alive_server(tls=ours) as server, client(tls=trusting) as http:
            server.answer = b"x" * MEGABYTE
            for _ in range(3):
                assert len((await server.send(http, b"y" * MEGABYTE)).body) == MEGABYTE
            await http.close()
            await server.until_open(0)
            return server.opened, server.sizes

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(send_twice()) == (1, [MEGABYTE] * 3)
