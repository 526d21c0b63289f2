"""Connections that send much do not keep the event loop from the others."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import pytest

from gateway.fast_path.connection import HttpConnection
from tests.gateway.fast_path.client import post
from tests.gateway.fast_path.conftest import Served
from tests.timing import TIMEOUT_SECONDS
from tests.transport import services
from transport import GrpcServer, frames, http2
from transport.http2_connection import Http2Connection

SIZE = 4 * 2**20
MAX_READ = 2**18


class Reads:
    """Counts the bytes that a kind of connection reads in each turn of the event loop."""

    def __init__(self, kind: type[asyncio.Protocol], patch: pytest.MonkeyPatch) -> None:
        self.by_turn: Counter[int] = Counter()
        self._turn = 0
        original = kind.data_received

        def data_received(connection: asyncio.Protocol, data: bytes) -> None:
            self.by_turn[self._turn] += len(data)
            original(connection, data)

        patch.setattr(kind, "data_received", data_received)

    async def until(self, size: int) -> None:
        """Count turns until so many bytes were read."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.by_turn.total() < size:
                self._turn += 1
                await asyncio.sleep(0)


def send_at_once(port: int, content: bytes) -> tuple[socket.socket, int]:
    """Fill the buffers of a new connection while the event loop waits; return what fitted."""
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setblocking(False)
    return peer, peer.send(content)


async def test_a_large_body_is_read_in_turns(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.route.max_body_bytes = 2 * SIZE
    reads = Reads(HttpConnection, monkeypatch)
    peer, sent = send_at_once(served.port, post(b"/direct/echo", bytes(SIZE)))
    with peer:
        await reads.until(sent)
    assert sent > 2**19, "more than one read"
    assert max(reads.by_turn.values()) <= MAX_READ


async def test_one_of_many_large_bodies_is_read_on_in_each_turn(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.route.max_body_bytes = 2 * SIZE
    reads = Reads(HttpConnection, monkeypatch)
    body = post(b"/direct/echo", bytes(SIZE))
    peers = [send_at_once(served.port, body) for _ in range(6)]
    total = sum(sent for _, sent in peers)
    assert total > 6 * len(peers) * MAX_READ, "the buffers of sockets are too small for this test"
    try:
        await reads.until(total)
    finally:
        for peer, _ in peers:
            peer.close()
    more = sum(max(0, size - MAX_READ) for size in reads.by_turn.values())
    assert more <= 2 * len(peers) * MAX_READ, "some 19 MiB without turns"


async def test_a_large_message_is_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(Http2Connection, monkeypatch)
    server = GrpcServer(services.router(services.HandlerLog()))
    port = int((await server.listen("127.0.0.1:0")).rpartition(":")[2])
    message = services.data(1, services.message(bytes(SIZE - 1000)))  # fits into a frame
    opening = http2.PREFACE + frames.settings({}) + services.headers(1)
    peer, sent = send_at_once(port, opening + message)
    try:
        await reads.until(sent)
    finally:
        peer.close()
        await server.drain(0)
    assert sent > 2**19, "more than one read"
    assert max(reads.by_turn.values()) <= MAX_READ
