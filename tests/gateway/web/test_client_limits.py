"""One address that holds all it can, and a client of another address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.auth.identity import Role, Scope
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.fast_path.client import Client, post
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.served_gateway import ServedGateway
from tests.timing import TIMEOUT_SECONDS

MAX_CONNECTIONS = 64
SLOW = 80
TRIGGER = b"/node/deployment-trigger/00000000-0000-4000-8000-000000000000/"


@pytest.fixture
async def small(database: Database, settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway with few connections."""
    opened = ServedGateway(settings.model_copy(update={"max_connections": MAX_CONNECTIONS}))
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "path", [b"/node/session/", b"/node/flows/", TRIGGER, b"/v2/models/mlp/infer"]
)
async def test_slow_bodies_of_one_address_leave_connections_for_others(
    small: ServedGateway, path: bytes
) -> None:
    user = await small.user("ada@example.com", Role.OWNER)
    issued = await small.services.keys.create(user.id, name="mine", scope=Scope.MANAGE)
    key = f"x-api-key: {issued.plain}".encode()
    request = post(path, bytes(3000), key, b"content-type: application/json")
    slow = [await Client.to(small.port, "127.0.0.2") for _ in range(SLOW)]
    for client in slow:
        client.send(request[:-1])
    arriving = small.clients.bodies._by_address
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while arriving["127.0.0.2"] < MAX_CONNECTIONS // 4:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    assert arriving["127.0.0.2"] == MAX_CONNECTIONS // 4
    assert small.clients.connections_of("127.0.0.2") <= MAX_CONNECTIONS // 2
    other = httpx.AsyncClient(
        base_url=small.url, headers={"x-api-key": issued.plain}, timeout=TIMEOUT_SECONDS
    )
    async with other:
        for _ in range(3):
            assert (await other.get("/node/flows/")).status_code == 200
            assert (await other.post("/node/flows/", json=flow_json())).status_code == 201
    refused = small.container.metrics.registry.render().decode()
    assert 'requests_refused_total{reason="address_bodies"}' in refused
    neighbour = await Client.to(small.port, "127.0.0.2")
    answer = await neighbour.asked(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")
    assert answer.status == 200, "refused connections of its own address make room for it"
    for client in (neighbour, *slow):
        client.abort()


async def test_slow_heads_of_one_address_leave_connections_for_others(
    small: ServedGateway,
) -> None:
    slow = [await Client.to(small.port, "127.0.0.2") for _ in range(SLOW)]
    for client in slow:
        client.send(b"POST /node/session/ HTTP/1.1\r\nx: ")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while small.clients.connections_of("127.0.0.2") > MAX_CONNECTIONS // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for _ in range(MAX_CONNECTIONS // 4):
        async with httpx.AsyncClient(base_url=small.url) as other:
            assert (await other.get("/livez")).status_code == 200
    for client in slow:
        client.abort()
