"""/readyz of an installation whose database, broker and only model fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.older_release import make_unservable
from tests.services.redis import RedisServer
from tests.slipstream.running import Up
from tests.system.flow_documents import echo_flow
from tests.system.installation import Installation, Json
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.services

BODY = {"input_data": {"param1": "1"}}


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    found = PostgresDatabase()
    found.create()
    yield found
    found.drop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def readiness(up: Up, true: Callable[[Json], bool]) -> tuple[int, Json]:
    """Ask /readyz until the condition is true of its body; return status and body."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        answer = httpx.get(f"{up.url}/readyz")
        body: Json = answer.json()
        if true(body):
            return answer.status_code, body
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


def test_every_reason_is_listed(
    tmp_path: Path, database: PostgresDatabase, redis: RedisServer
) -> None:
    settings = {
        "SLIPSTREAM_DATABASE_URL": database.url,
        "SLIPSTREAM_BROKER_URL": redis.url,
        "SLIPSTREAM_WORKER_CONCURRENCY": "0",
    }
    up = Up(tmp_path / "state", "--no-demo", **settings)
    up.until("documentation")
    installation = Installation(up)
    installation.add_model("sequence", onnx_models.identity(tmp_path / "sequence.onnx"))
    make_unservable(installation.up.state / "models", "sequence")
    installation.serve("sequence", wait=False)
    up.until("sequence 1         failed")
    flow = echo_flow()
    own = installation.deploy(flow, execution_mode="sync", deployment_type="server")
    queued = installation.deploy(flow, execution_mode="async", deployment_type="api")
    installation.stop()

    up = Up(tmp_path / "state", "--no-demo", port=up.port, **settings)
    up.until("documentation")
    installation.up, installation.http = (
        up,
        httpx.Client(
            base_url=up.url, headers={"X-API-Key": installation.key}, timeout=TIMEOUT_SECONDS
        ),
    )
    status, body = readiness(up, lambda body: not any("broker" in one for one in body["degraded"]))
    (degraded,) = body.pop("degraded")
    assert (status, body) == (200, {"ready": True, "reasons": []})
    assert degraded == "inference server sequence version 1: failed: the model failed to load"
    assert installation.trigger(own, json=BODY).status_code == 200

    asyncio.run(database.shut())
    status, body = readiness(up, lambda body: len(body["degraded"]) > 1)
    assert (status, body["ready"], body["reasons"]) == (200, True, [])
    assert body["degraded"] == ["database: it does not answer", degraded]
    assert httpx.get(f"{up.url}/v2/health/ready").status_code == 200
    asyncio.run(database.reopen())
    readiness(up, lambda body: body["degraded"] == [degraded])

    redis.stop()
    assert installation.trigger(queued, json=BODY).status_code == 202
    status, body = readiness(up, lambda body: len(body["degraded"]) > 1)
    assert (status, body["degraded"]) == (
        200,
        [degraded, "broker: not connected, runs of type api wait for it"],
    )
    redis.start()
    readiness(up, lambda body: body["degraded"] == [degraded])
    installation.stop()
