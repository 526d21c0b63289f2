"""What the clients of a gateway that shuts down get: one more response at most, and not less."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn

from gateway import http_server
from gateway.boot import BootApp
from gateway.fast_path.connection import HttpConnection
from gateway.http_server import GatewayServer
from telemetry.parent_process import STOP_ANNOUNCED, StatusPipe
from tests.gateway.fast_path.calls import Application, EchoRoute
from tests.gateway.fast_path.client import Answer, Client, post
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

    async def readiness(self, client: Client | None = None) -> Answer:
        """Ask on a connection that is new, or kept."""
        client = client or await self.client()
        return await client.asked(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n")


@asynccontextmanager
async def serving(drain_seconds: float, *, supervised: bool = False) -> AsyncIterator[Serving]:
    boot_app, application, route = BootApp(), Application(None), EchoRoute()
    boot_app.app, boot_app.fast_route = application, route
    boot_app.reasons = list
    boot_app.drain_seconds = drain_seconds
    config = uvicorn.Config(
        boot_app, http=HttpConnection, ws="none", lifespan="on", log_config=None, access_log=False
    )
    server = GatewayServer(config, boot_app, StatusPipe(None), supervised=supervised)
    # uvicorn raises the signal again after draining, see gateway/__main__.py
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    ended = asyncio.create_task(server.serve([listening]))
    made = Serving(server, boot_app, application, route, port)
    try:
        yield made
    except BaseException:
        server.should_exit = server.force_exit = True
        raise
    finally:
        await ended
        signal.signal(signal.SIGTERM, before)
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
async def test_a_request_that_has_arrived_when_the_connection_would_be_closed_is_answered(
    path: bytes,
) -> None:
    async with serving(drain_seconds=10) as stopping:
        client = await stopping.client()
        assert not (await client.asked(post(path + b"echo", b"x"))).closes
        kernel = client.writer.get_extra_info("socket").fileno()

        class Busy(asyncio.Protocol):
            """Has the event loop busy with what it has read, when it would look at the time."""

            def data_received(self, _: bytes) -> None:
                os.write(kernel, post(path + b"echo", b"x"))
                time.sleep(stopping.boot_app.idle_seconds + 0.1)

        loop = asyncio.get_running_loop()
        busy, _ = await loop.create_connection(Busy, "127.0.0.1", stopping.port)
        await stopping.stop()
        busy.write(post(b"/direct/echo", b"x"))
        answer = await client.answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await client.rest() == b""


async def test_an_idle_connection_is_closed_later_than_clients_use_it_again() -> None:
    async with serving(drain_seconds=TIMEOUT_SECONDS) as stopping:
        stopping.boot_app.replaced_idle_seconds = TIMEOUT_SECONDS
        client = await stopping.client()
        assert not (await client.asked(post(b"/direct/echo", b"x"))).closes
        await stopping.stop()
        await asyncio.sleep(1.2)  # it was a second
        answer = await client.asked(post(b"/direct/echo", b"x"))
        assert (answer.status, answer.closes) == (200, True)


async def test_a_client_that_was_told_that_its_connection_stays_open_gets_one_more_response() -> (
    None
):
    async with serving(drain_seconds=10) as stopping:
        client = await stopping.client()
        client.send(post(b"/through-asgi/begun", b"x"))
        go_on = await stopping.application.waiting.get()
        await stopping.stop()
        go_on()
        assert not (await client.answer()).closes
        answer = await client.asked(post(b"/direct/echo", b"x"))
        assert (answer.status, answer.closes) == (200, True)


async def test_it_is_not_ready_for_a_while_before_its_port_closes() -> None:
    async with serving(drain_seconds=10) as stopping:
        stopping.boot_app.drain_delay_seconds = TIMEOUT_SECONDS
        kept = await stopping.client()
        assert (await stopping.readiness()).status == 200
        stopping.server.handle_exit(signal.SIGTERM, None)
        for client in (kept, None):
            told = await stopping.readiness(client)
            assert (told.status, told.closes) == (503, False)
            assert b"draining" in told.body
        late = await stopping.client()
        await asyncio.sleep(0.3)  # it looks for signals ten times a second
        for client in (kept, late):
            answer = await client.asked(post(b"/direct/echo", b"x"))
            assert (answer.status, answer.closes) == (200, False)
        draining = asyncio.Event()
        stopping.boot_app.on_drain = draining.set
        stopping.server.handle_exit(signal.SIGINT, None)  # ends the wait
        await draining.wait()
        for client in (kept, late):
            answer = await client.asked(post(b"/direct/echo", b"x"))
            assert (answer.status, answer.closes) == (200, True)
        with pytest.raises(ConnectionRefusedError):
            await stopping.client()


async def test_one_that_others_replace_is_ready_until_its_end() -> None:
    async with serving(drain_seconds=10, supervised=True) as replaced:
        kept = await replaced.client()
        assert (await replaced.readiness(kept)).status == 200
        replaced.server.handle_exit(signal.SIGTERM, None)
        await replaced.stop()
        last = await replaced.readiness(kept)
        assert (last.status, last.closes) == (200, True)


async def test_one_whose_stop_is_announced_is_not_ready_until_its_end() -> None:
    async with serving(drain_seconds=10, supervised=True) as stopping:
        kept = await stopping.client()
        assert (await stopping.readiness(kept)).status == 200
        os.kill(os.getpid(), STOP_ANNOUNCED)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (await stopping.readiness(kept)).status == 200:
            assert time.monotonic() < deadline
        stopping.server.handle_exit(signal.SIGTERM, None)
        await stopping.stop()
        last = await stopping.readiness(kept)
        assert (last.status, last.closes) == (503, True)


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
