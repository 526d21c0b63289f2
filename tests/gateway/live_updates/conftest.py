"""Gateways whose live updates and watches run, on one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.served_gateway import ServedGateway


@asynccontextmanager
async def live_gateway(settings: Settings) -> AsyncIterator[ServedGateway]:
    """Serve a gateway that follows changes and tells of them."""
    gateway = ServedGateway(settings)
    await gateway.open(follows=True)
    parts = gateway.container.call_watches, gateway.container.live_updates
    for part in parts:
        part.start()
    yield gateway
    gateway.container.live_updates.drain()
    await gateway.container.call_watches.close()
    await gateway.container.live_updates.stop()
    await gateway.close()


@pytest.fixture
async def gateways(database: Database, settings: Settings) -> AsyncIterator[list[ServedGateway]]:
    """Two gateways on one database, which is empty."""
    async with live_gateway(settings) as here, live_gateway(settings) as there:
        yield [here, there]
