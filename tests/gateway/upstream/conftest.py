"""Servers to connect to, and connections that end with their test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from gateway.upstream.connector import ServerConnector
from gateway.upstream.inference_stream import InferenceStreamClient
from tests.gateway.upstream.stock_server import StockServer
from tests.inference_server.conftest import publish, shared_server, socket_folder, start_server
from tests.timing import TIMEOUT_SECONDS

__all__ = ["publish", "shared_server", "socket_folder", "start_server"]

LIMIT = 1024 * 1024


class Watched:
    """A Link, and an event for what it reports."""

    def __init__(
        self,
        address: str,
        model: str = "mlp",
        version: int = 1,
        *,
        unresponsive_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._changed = asyncio.Event()
        self.link = ServerConnector(
            model,
            version,
            address,
            max_message_bytes=LIMIT,
            on_change=self._changed.set,
            unresponsive_seconds=unresponsive_seconds,
        )

    async def connected(self) -> InferenceStreamClient:
        """Return the connection as soon as there is one."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.link.stream is None:
                await self._next()
            return self.link.stream

    async def lost(self) -> None:
        """Return when the connection is gone."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.link.stream is not None:
                await self._next()

    async def _next(self) -> None:
        self._changed.clear()
        await self._changed.wait()


Watch = Callable[..., Watched]


@pytest_asyncio.fixture
async def watch() -> AsyncIterator[Watch]:
    """Return a function that connects to an address."""
    watched: list[Watched] = []

    def connect(address: str, model: str = "mlp", **arguments: float) -> Watched:
        watched.append(Watched(address, model, **arguments))
        return watched[-1]

    yield connect
    for each in watched:
        await each.link.close(0)


@pytest_asyncio.fixture
async def stock(socket_folder: Path) -> AsyncIterator[StockServer]:
    """A server on stock grpcio."""
    async with StockServer(socket_folder / "stock.sock") as server:
        yield server


async def until(true: Callable[[], bool]) -> None:
    """Return when something has become true that no event reports."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not true():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


async def soon(awaited: Awaitable[object]) -> None:
    """Wait for something that must happen, within a time limit."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await awaited
