"""What is closed is closed before the event loop ends: `asyncio.run` may end right afterwards."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.timing import TIMEOUT_SECONDS
from tests.transport.services import ECHO, HandlerLog, router
from transport import ClientTls, GrpcConnection, GrpcServer, RpcError, ServerTls, connect, frames

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def elsewhere() -> Iterator[Run]:
    """Runs a coroutine on the event loop of another thread, which gives ours no turns."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(
        TIMEOUT_SECONDS
    )
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail if what the block has opened is closed only by the garbage collector."""
    gc.freeze()  # it looks at what the block makes, and not at a million objects of other tests
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            yield
            gc.collect()
    finally:
        gc.unfreeze()
    assert [str(warning.message) for warning in caught] == []


async def listen(server: GrpcServer, folder: Path, authority: Authority, kind: str) -> str:
    if kind == "unix":
        return await server.listen(f"unix:{folder}/closing")
    return f"grpcs://{await server.listen('127.0.0.1:0', tls=ServerTls(authority.issue('server')))}"


async def make_server() -> GrpcServer:
    return GrpcServer(router(HandlerLog()))


@pytest.mark.parametrize("kind", ["unix", "tls"])
def test_a_client_has_closed_its_socket(
    folder: Path, authority: Authority, elsewhere: Run, kind: str
) -> None:
    server = elsewhere(make_server())
    address = elsewhere(listen(server, folder, authority, kind))

    async def call() -> None:
        connection = await connect(address, tls=ClientTls(ca=authority.ca))
        assert await connection.unary(ECHO, b"x", timeout=TIMEOUT_SECONDS) == b"x"
        connection.close()
        await connection.wait_closed()

    with nothing_left_open():
        asyncio.run(call())
    elsewhere(server.drain(0))


def test_a_client_that_gives_up_connecting_has_closed_its_socket(folder: Path) -> None:
    async def call() -> None:
        with pytest.raises(RpcError, match="no answer within"):
            await connect(f"unix:{folder}/silent", timeout=0.05)

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/silent")
        silent.listen()
        with nothing_left_open():
            asyncio.run(call())


@pytest.mark.parametrize("turns", range(6))
def test_a_client_that_is_cancelled_when_it_is_connected_has_closed_its_socket(
    folder: Path, turns: int
) -> None:
    async def cancel(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connecting = asyncio.create_task(connect(f"unix:{folder}/answering"))
        peer, _ = await loop.sock_accept(listener)
        peers.enter_context(peer)
        await loop.sock_recv(peer, 4096)
        peer.send(frames.settings({}))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        (made,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(made, GrpcConnection):
            made.close()

    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as peers:
        listener.bind(f"{folder}/answering")
        listener.listen()
        listener.setblocking(False)
        with nothing_left_open():
            asyncio.run(cancel(listener))


@pytest.mark.parametrize("kind", ["unix", "tls"])
def test_a_drained_server_has_closed_its_sockets(
    folder: Path, authority: Authority, elsewhere: Run, kind: str
) -> None:
    clients: list[GrpcConnection] = []

    async def dial(address: str) -> None:
        clients.append(await connect(address, tls=ClientTls(ca=authority.ca)))
        assert await clients[-1].unary(ECHO, b"x", timeout=TIMEOUT_SECONDS) == b"x"

    async def serve() -> None:
        server = GrpcServer(router(HandlerLog()))
        address = await listen(server, folder, authority, kind)
        await asyncio.to_thread(elsewhere, dial(address))
        await server.drain(0)

    with nothing_left_open():
        asyncio.run(serve())
    elsewhere(clients[0].wait_closed())
