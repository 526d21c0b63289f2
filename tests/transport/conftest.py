from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority, wait_until_closed
from tests.leftovers import leaves_nothing_behind  # noqa: F401 - a fixture
from tests.transport.services import HandlerLog, Listen, router
from transport import GrpcConnection, GrpcLimits, GrpcServer, ServerTls, connect

Start = Callable[..., Awaitable[str]]
Dial = Callable[..., Awaitable[GrpcConnection]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="tr-") as name:
        yield Path(name)


@pytest.fixture
async def handler_log() -> HandlerLog:
    return HandlerLog()


@pytest.fixture
async def servers() -> list[GrpcServer]:
    return []


@pytest.fixture
async def start(
    folder: Path, handler_log: HandlerLog, servers: list[GrpcServer]
) -> AsyncIterator[Start]:
    """Starts our server; returns its address."""

    async def start_one(
        address: str = "", *, server: dict[str, Any] | None = None, **limits: Any
    ) -> str:
        made = GrpcServer(router(handler_log), limits=GrpcLimits(**limits), **(server or {}))
        servers.append(made)
        return await made.listen(address or f"unix:{folder}/{len(servers)}")

    yield start_one
    for server in servers:
        await server.drain(0)


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects our client."""
    made: list[GrpcConnection] = []

    async def dial_one(address: str, **limits: Any) -> GrpcConnection:
        made.append(await connect(address, limits=GrpcLimits(**limits)))
        return made[-1]

    yield dial_one
    for connection in made:
        connection.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def other_authority(tmp_path: Path) -> Authority:
    """A CA that the other side does not know."""
    return Authority(tmp_path / "other-ca")


@pytest.fixture
async def listen(servers: list[GrpcServer], handler_log: HandlerLog) -> AsyncIterator[Listen]:
    """Starts our server with TLS; returns its address."""

    async def listen_one(tls: ServerTls, **limits: float) -> str:
        servers.append(GrpcServer(router(handler_log), limits=GrpcLimits(**limits)))
        bound = await servers[-1].listen("127.0.0.1:0", tls=tls)
        return f"grpcs://{bound}"

    yield listen_one
    for server in servers:
        await server.drain(0)
    await wait_until_closed()
