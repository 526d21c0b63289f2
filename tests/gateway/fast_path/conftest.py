"""uvicorn with our connections, on a real socket in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
import uvloop

from gateway.fast_path.connection import HttpConnection
from tests.gateway.fast_path.calls import Application, EchoRoute
from tests.gateway.fast_path.client import Client
from tests.gateway.uvicorn_server import UvicornServer


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on the loop that we serve with, and on Python's own, whose sockets differ."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave Python's own loop to `make test-long`, but for the file about all kinds of calls."""
    callspec = getattr(item, "callspec", None)
    is_asyncio = callspec is not None and "asyncio" in callspec.id.split("-")
    if is_asyncio and item.path.name != "test_http_calls.py":
        item.add_marker(pytest.mark.long)


@dataclass
class Served:
    """A running server."""

    port: int
    route: EchoRoute
    application: Application
    server: UvicornServer
    clients: list[Client] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Reasons of refused requests and connections, where a test keeps them."""

    async def client(self, address: str = "127.0.0.1") -> Client:
        """Connect to it from an address of this machine."""
        self.clients.append(await Client.to(self.port, address))
        return self.clients[-1]


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server; arguments are settings of uvicorn's."""
    started: list[Served] = []

    # Any: uvicorn's own settings
    async def start(**settings: Any) -> Served:
        route = EchoRoute()
        application = Application(route)
        settings = {"http": HttpConnection, "timeout_keep_alive": 60, **settings}
        config = uvicorn.Config(
            application,
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_config=None,
            server_header=False,
            date_header=False,
            **settings,
        )
        server = UvicornServer(config)
        started.append(Served(await server.begin(), route, application, server))
        return started[-1]

    yield start
    for served in started:
        for client in served.clients:
            client.abort()
        await served.server.end()


@pytest.fixture
async def served(serve: Serve) -> Served:
    """A server."""
    return await serve()


@pytest.fixture
async def client(served: Served) -> Client:
    """A connection to `served`."""
    return await served.client()
