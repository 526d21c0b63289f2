from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority, hung_up
from tests.transport.encrypted import Listen
from tests.transport.services import Seen, router
from transport import Connection, Limits, Server, ServerTls, connect

Start = Callable[..., Awaitable[str]]
Dial = Callable[..., Awaitable[Connection]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="tr-") as name:
        yield Path(name)


@pytest.fixture
async def seen() -> Seen:
    return Seen()


@pytest.fixture
async def servers() -> list[Server]:
    return []


@pytest.fixture
async def start(folder: Path, seen: Seen, servers: list[Server]) -> AsyncIterator[Start]:
    """Start our server; returns its address."""

    async def start_one(
        address: str = "", *, server: dict[str, Any] | None = None, **limits: Any
    ) -> str:
        made = Server(router(seen), limits=Limits(**limits), **(server or {}))
        servers.append(made)
        return await made.listen(address or f"unix:{folder}/{len(servers)}")

    yield start_one
    for server in servers:
        await server.drain(0)


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connect our client."""
    made: list[Connection] = []

    async def dial_one(address: str, **limits: Any) -> Connection:
        made.append(await connect(address, limits=Limits(**limits)))
        return made[-1]

    yield dial_one
    for connection in made:
        connection.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another authority, which nobody has heard of."""
    return Authority(tmp_path / "theirs")


@pytest.fixture
async def listen(servers: list[Server], seen: Seen) -> AsyncIterator[Listen]:
    """Start our server with TLS; returns its address."""

    async def listen_one(tls: ServerTls, **limits: float) -> str:
        servers.append(Server(router(seen), limits=Limits(**limits)))
        bound = await servers[-1].listen("127.0.0.1:0", tls=tls)
        return f"grpcs://{bound}"

    yield listen_one
    for server in servers:
        await server.drain(0)
    await hung_up()
