"""The metrics of deleted deployments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.auth.identity import Role, Scope
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.served_gateway import ServedGateway

LIMIT_SECONDS = 30


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway that hears of changes and removes the metrics of deleted deployments."""
    opened = ServedGateway(settings)
    await opened.open(follows=True)
    for cleanup in opened.container.metrics_cleanups:
        cleanup.start()
    try:
        yield opened
    finally:
        for cleanup in opened.container.metrics_cleanups:
            await cleanup.stop()
        await opened.close()


async def until_scraped(served: ServedGateway, true: Callable[[str], bool]) -> str:
    """Scrape until the condition is true."""
    client = served.client()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not true(text := (await client.get("/metrics")).text):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    return text


def called(served: ServedGateway, deployment: str) -> None:
    """Count a call, as the fast path does."""
    served.container.metrics.for_deployment(deployment, "fast").answered(200, 0.001)


async def test_a_deletion_removes_the_series_and_a_late_call_does_not_bring_them_back(
    database: Database, settings: Settings
) -> None:
    async with following(settings) as served:
        user = await served.user("ada@example.com", Role.OWNER)
        client = await served.key_client(user, Scope.MANAGE)
        kept, deleted = [(await deploy(client, flow_json()))["id"] for _ in range(2)]
        called(served, kept)
        called(served, deleted)
        called(served, "mlp")
        await until_scraped(served, lambda text: deleted in text and kept in text)
        assert (await client.delete(f"/node/deployments/{deleted}/")).is_success
        text = await until_scraped(served, lambda text: deleted not in text)
        assert kept in text
        assert 'deployment="mlp"' in text
        called(served, deleted)
        assert deleted not in (await served.client().get("/metrics")).text


async def test_what_goes_with_its_user_leaves_no_series(
    database: Database, settings: Settings
) -> None:
    async with following(settings) as served:
        owner = await served.user("owner@example.com", Role.OWNER)
        ada = await served.user("ada@example.com")
        client = await served.key_client(ada, Scope.MANAGE)
        made = (await deploy(client, flow_json()))["id"]
        listed = (await client.get("/node/api-keys/")).json()["items"]
        key = listed[0]["id"]
        called(served, made)
        served.container.metrics.count_key_calls(key, 1)
        await until_scraped(served, lambda text: made in text and key in text)
        administrator = await served.key_client(owner, Scope.MANAGE)
        assert (await administrator.delete(f"/node/users/{ada.id}/")).is_success
        await until_scraped(served, lambda text: made not in text and key not in text)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_new_process_removes_what_a_dead_one_has_left(
    database: Database, settings: Settings
) -> None:
    dead = ServedGateway(settings)
    user = await dead.user("ada@example.com", Role.OWNER)
    deleted = "0b6f1e5c-5d0f-4e0f-9c0e-5d8a1f6f8c11"
    await dead.open()
    kept = (await deploy(await dead.key_client(user, Scope.MANAGE), flow_json()))["id"]
    for deployment in (kept, deleted):
        called(dead, deployment)
    dead.container.shared.publish()
    await dead.close()
    folder = settings.run / "metrics"
    (file,) = folder.iterdir()
    file.rename(folder / "gateway-dead.json")  # of another process
    async with following(settings) as served:
        await until_scraped(served, lambda text: deleted not in text and kept in text)
