"""What the clients of a gateway that shuts down get: one more response at most, and not less."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn

from gateway import http_server
from gateway.boot import BootApp
from gateway.fast_path.connection import HttpConnection
from gateway.http_server import GatewayServer
from telemetry.parent_process import StatusPipe
from tests.gateway.fast_path.calls import Application, EchoRoute
from tests.gateway.fast_path.client import Client, post
from tests.timing import TIMEOUT_SECONDS
from transport.accept_queue import accept_waiting

KINDS = pytest.mark.parametrize("path", [b"/direct/", b"/through-asgi/"])


@dataclass(frozen=True)
class Serving:
    """A server that is about to be told to stop."""

    server: GatewayServer
    boot_app: BootApp
    application: Application
    route: EchoRoute
    port: int
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        self.clients.append(await Client.to(self.port))
        return self.clients[-1]

    async def stop(self) -> None:
        """Tell it to stop, and return when it drains."""
        self.server.should_exit = True
        draining = asyncio.Event()
        self.boot_app.on_drain = draining.set
        await draining.wait()


@asynccontextmanager
async def serving(drain_seconds: float) -> AsyncIterator[Serving]:
    boot_app, application, route = BootApp(), Application(None), EchoRoute()
    boot_app.app, boot_app.fast_route = application, route
    boot_app.drain_seconds = drain_seconds
    config = uvicorn.Config(
        boot_app, http=HttpConnection, ws="none", lifespan="on", log_config=None, access_log=False
    )
    server = GatewayServer(config, boot_app, StatusPipe(None))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    ended = asyncio.create_task(server.serve([listening]))
    made = Serving(server, boot_app, application, route, port)
    yield made
    await ended
    for client in made.clients:
        await client.close()


@KINDS
async def test_an_idle_client_gets_one_more_response(path: bytes) -> None:
    async with serving(drain_seconds=10) as stopping:
        client, silent = await stopping.client(), await stopping.client()
        for each in (client, silent):
            for _ in range(3):  # the later ones take the way of repeated heads
                assert not (await each.asked(post(path + b"echo", b"x"))).closes
        await stopping.stop()
        answer = await client.asked(post(path + b"echo", b"x"))
        assert (answer.status, answer.closes) == (200, True)
        assert await client.rest() == b""
        assert await silent.rest() == b"", "closed after a moment"


@KINDS
async def test_a_call_in_flight_is_answered(path: bytes) -> None:
    async with serving(drain_seconds=10) as stopping:
        client = await stopping.client()
        client.send(post(path + b"wait", b"x"))
        if path == b"/direct/":
            call = await stopping.route.waiting.get()
            await stopping.stop()
            call.echo()
        else:
            go_on = await stopping.application.waiting.get()
            await stopping.stop()
            go_on()
        answer = await client.answer()
        assert (answer.status, answer.closes) == (200, True)


@KINDS
async def test_a_call_that_outlasts_the_drain_time_is_told_so(path: bytes) -> None:
    async with serving(drain_seconds=0.1) as stopping:
        client = await stopping.client()
        client.send(post(path + b"wait", b"x"))
        go_on = None
        if path == b"/direct/":
            await stopping.route.waiting.get()
        else:
            go_on = await stopping.application.waiting.get()
        await stopping.stop()
        answer = await client.answer()
        assert (answer.status, answer.closes) == (503, True)
        assert b"shutting_down" in answer.body
        assert await client.rest() == b""
        if go_on is not None:
            go_on()


async def test_no_client_that_connects_while_it_stops_is_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[socket.socket] = []

    def accept_all(listening: socket.socket) -> list[socket.socket]:
        # The kernel makes these connections: the loop has no turn to accept them.
        for _ in range(16):
            client = socket.create_connection(listening.getsockname(), timeout=TIMEOUT_SECONDS)
            client.sendall(post(b"/through-asgi/", b"", b"connection: close"))
            waiting.append(client)
        return accept_waiting(listening)

    monkeypatch.setattr(http_server, "accept_waiting", accept_all)
    async with serving(drain_seconds=10) as stopping:
        served = await stopping.client()
        assert (await served.asked(post(b"/through-asgi/echo", b"x"))).status == 200
        await stopping.stop()
        for client in waiting:
            with client:
                answer = await asyncio.to_thread(client.recv, 1000)
                assert answer.startswith(b"HTTP/1.1 200")
    assert len(waiting) == 16
