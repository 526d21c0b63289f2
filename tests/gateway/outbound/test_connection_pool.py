"""Connections are kept and taken again, by real servers that answer more than once."""

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
from gateway.outbound.http import GuardedHttpClient, OutboundRequest, OutboundResponse
from tests.gateway.outbound.servers import StaticResolver

MEGABYTE = 1_000_000


class Keeping:
    """A server that answers each request on a connection, and remembers what it saw."""

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
        """Have a request sent here."""
        call = OutboundRequest(
            method="POST",
            url=self.url,
            headers={},
            body=body,
            max_bytes=2 * MEGABYTE,
        )
        return await http.send(call, asyncio.get_running_loop().time() + 10)

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open here."""
        async with asyncio.timeout(30):
            while len(self.open) != count:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def keeping(tls: ssl.SSLContext | None = None) -> AsyncIterator[Keeping]:
    kept = Keeping()
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
        connections=connections,
    )


async def test_one_request_after_the_other_takes_one_connection() -> None:
    async with keeping() as server, client() as http:
        for _ in range(5):
            assert (await server.send(http)).body == b"thanks"
    assert (server.opened, server.sizes) == (1, [5] * 5)


async def test_requests_side_by_side_have_a_connection_each_which_are_kept() -> None:
    async with keeping() as server, client() as http:
        for _ in range(3):
            await asyncio.gather(*(server.send(http) for _ in range(5)))
    assert server.opened == 5


async def test_more_requests_than_connections_wait_for_their_turn() -> None:
    async with keeping() as server, client(connections=2) as http:
        await asyncio.gather(*(server.send(http) for _ in range(20)))
    assert len(server.sizes) == 20
    assert server.opened == 2


async def test_what_the_other_side_has_closed_is_not_taken() -> None:
    async with keeping() as server, client() as http:
        await server.send(http)
        for writer in list(server.open):
            writer.close()
        await server.until_open(0)
        assert (await server.send(http)).status == 200
    assert server.opened == 2


async def test_what_was_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_KEPT_SECONDS", 0.05)
    async with keeping() as one, keeping() as other, client() as http:
        await one.send(http)
        await asyncio.sleep(0.1)
        await other.send(http)
        await one.until_open(0)
        await one.send(http)
    assert (one.opened, other.opened) == (2, 1)


async def test_an_idle_connection_gives_way_to_one_that_leads_elsewhere() -> None:
    async with keeping() as one, keeping() as other, client(connections=1) as http:
        await one.send(http)
        await other.send(http)
        await one.until_open(0)
        assert (one.opened, other.opened) == (1, 1)


async def test_after_the_client_is_closed_nothing_stays_open() -> None:
    async with keeping() as server:
        async with client() as http:
            await asyncio.gather(*(server.send(http) for _ in range(3)))
        await server.until_open(0)


async def test_large_bodies_go_both_ways() -> None:
    async with keeping() as server, client() as http:
        server.answer = b"x" * MEGABYTE
        for _ in range(2):
            assert len((await server.send(http, b"y" * MEGABYTE)).body) == MEGABYTE
    assert (server.opened, server.sizes) == (1, [MEGABYTE] * 2)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_with_tls_it_is_the_same(
    certificate: tuple[Path, Path], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def send_twice() -> tuple[int, list[int]]:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.load_cert_chain(*certificate)
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with keeping(tls=ours) as server, client(tls=trusting) as http:
            server.answer = b"x" * MEGABYTE
            for _ in range(3):
                assert len((await server.send(http, b"y" * MEGABYTE)).body) == MEGABYTE
            await http.close()
            await server.until_open(0)
            return server.opened, server.sizes

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(send_twice()) == (1, [MEGABYTE] * 3)
