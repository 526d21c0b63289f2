"""Long polls and streams during a gateway's shutdown."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
import uvicorn

from gateway.boot import BootApp
from gateway.fast_path.connection import HttpConnection
from gateway.http_server import GatewayServer
from telemetry.parent_process import StatusPipe
from tests.gateway.runs.builders import until
from tests.gateway.runs.runs_api import RUNS, RunsApi

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def test_long_polls_do_not_delay_a_gateways_shutdown(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    boot_app = BootApp()
    boot_app.app = api.app
    boot_app.on_drain = api.service.drain
    config = uvicorn.Config(
        boot_app, http=HttpConnection, ws="none", lifespan="on", log_config=None, access_log=False
    )
    server = GatewayServer(config, boot_app, StatusPipe(None))
    listening = socket.create_server(("127.0.0.1", 0))
    ended = asyncio.create_task(server.serve([listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    key = {"x-api-key": user.client.headers["x-api-key"]}
    async with httpx.AsyncClient(base_url=url, headers=key) as client:
        polling = asyncio.create_task(client.get(f"{RUNS}{run.id}/?wait=60"))
        async with client.stream("GET", f"{RUNS}{run.id}/events/") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            await until(lambda: len(api.waiter._all()) > 1)
            server.should_exit = True
            told = [line async for line in lines if line.startswith("event")]
        answer = await polling
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert told == ["event: status"]
    await ended
