"""Requests that must arrive in time: connections that are not made, services that do not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from time import monotonic

import pytest
import uvloop

from gateway.errors import GatewayError
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import NotSentError, OutboundRequest, OutboundResponse
from protos.errors import ErrorCode
from tests.gateway.outbound.servers import plain, serving
from tests.timing import TIMEOUT_SECONDS

LARGE = b"x" * 1_000_000
"""More than the kernel takes in for a service that does not read, and has a small buffer."""


async def send(
    port: int, arrive_by: Callable[[], float], *, body: bytes = b"hello"
) -> OutboundResponse:
    """Send a request to a port of this machine."""
    async with GuardedHttpClient([ip_network("127.0.0.0/8")], allow_http=True) as http:
        call = OutboundRequest(
            method="PUT",  # which aiohttp sends again where a kept connection was closed
            url=f"http://127.0.0.1:{port}/",
            headers={},
            body=body,
            max_bytes=1000,
        )
        return await http.send(call, monotonic() + TIMEOUT_SECONDS, arrive_by=arrive_by)


@contextmanager
def full_port() -> Iterator[int]:
    """Listen on a port that takes no connection."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        while True:
            filling = stack.enter_context(socket.socket())
            filling.settimeout(0.3)
            try:
                filling.connect(address)
            except TimeoutError:
                break
        yield address[1]


async def test_a_request_that_has_arrived_waits_for_its_response() -> None:
    over = asyncio.Event()
    until = monotonic() + 0.2

    async def late(writer: asyncio.StreamWriter) -> None:
        await over.wait()
        await plain("thanks")(writer)

    async with serving(late) as heard:
        sending = asyncio.create_task(send(heard.port, lambda: until))
        await asyncio.sleep(0.5)
        assert heard.bodies == [b"hello"]
        over.set()
        assert (await sending).body == b"thanks"


async def test_a_request_without_a_connection_is_not_sent() -> None:
    with full_port() as port:
        until = monotonic() + 0.2
        with pytest.raises(NotSentError):
            await send(port, lambda: until)


async def test_its_time_may_become_longer() -> None:
    with full_port() as port:
        began = monotonic()
        times = [began + 0.1, began + 0.4]
        with pytest.raises(NotSentError):
            await send(port, lambda: times.pop(0) if len(times) > 1 else times[0])
        assert monotonic() - began >= 0.4


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nothing_follows_of_a_request_that_a_service_has_not_taken(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def begin(listening: socket.socket) -> None:
        until = monotonic() + 0.3
        with pytest.raises(GatewayError, match="too slowly") as raised:
            await send(listening.getsockname()[1], lambda: until, body=LARGE)
        assert raised.value.code == ErrorCode.UPSTREAM_UNREACHABLE

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(begin(listening))
        listening.settimeout(TIMEOUT_SECONDS)
        accepted, _ = listening.accept()
        with accepted, pytest.raises(ConnectionResetError):
            read_to_its_end(accepted)


def read_to_its_end(connection: socket.socket) -> None:
    """Read all that comes, and at last nothing."""
    connection.settimeout(TIMEOUT_SECONDS)
    while connection.recv(1 << 20):
        pass
