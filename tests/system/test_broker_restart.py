"""A broker that restarts: runs that take long, and runs that wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.gateway.databases import PostgresDatabase
from tests.services.counter import CountingServer
from tests.services.redis import RedisServer
from tests.slipstream.running import LOOPBACK, Up
from tests.system.flow_documents import callback_flow, transform_flow
from tests.system.installation import Installation
from tests.system.runs import Runs
from tests.timing import Timer, eventually

pytestmark = pytest.mark.services

RUN_SECONDS = 20
RUNS = 20
VISIBILITY_SECONDS = 5


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


@pytest.fixture
def counter() -> Iterator[CountingServer]:
    server = CountingServer()
    yield server
    server.close()


@pytest.mark.long
def test_a_long_run_runs_once_although_its_broker_restarts(
    tmp_path: Path, database: PostgresDatabase, redis: RedisServer, counter: CountingServer
) -> None:
    up = Up(
        tmp_path / "state",
        "--no-demo",
        SLIPSTREAM_DATABASE_URL=database.url,
        SLIPSTREAM_BROKER_URL=f"{redis.url}?visibility_timeout={VISIBILITY_SECONDS}",
        **LOOPBACK,
    )
    up.until("documentation")
    runs = Runs(Installation(up))
    long = runs.deploy(callback_flow(f"{counter.url}/long", RUN_SECONDS), "async", retry_safe=True)
    run_id = runs.accept(long, {"x": 1})
    runs.until(run_id, "running")
    time.sleep(VISIBILITY_SECONDS + 1)  # Celery's Redis delivers messages again after it
    redis.restart()
    run = runs.until(run_id)
    assert run["output_data"] == {"x": 1}
    # The worker is idle again: a second delivery would run before this call.
    short = runs.deploy(transform_flow(), "async")
    assert runs.until(runs.accept(short, {"x": 1}))["output_data"] == {"y": 2}
    assert counter.of("/long") == 1
    assert len(runs.list_all(deployment=long)) == 1
    runs.installation.stop()


@pytest.mark.long
def test_a_backlog_has_one_message_for_each_run_also_after_the_broker_has_lost_all(
    tmp_path: Path, database: PostgresDatabase, redis: RedisServer
) -> None:
    up = Up(
        tmp_path / "state",
        *("--no-demo", "--workers", "2"),
        SLIPSTREAM_DATABASE_URL=database.url,
        SLIPSTREAM_BROKER_URL=redis.url,
        SLIPSTREAM_WORKER_CONCURRENCY="0",
    )
    up.until("documentation")
    installation = Installation(up)
    deployed = installation.deploy(transform_flow(), execution_mode="async", deployment_type="api")

    def messages() -> int:
        with Redis.from_url(redis.url) as client:
            return int(client.llen("slipstream.async"))

    for _ in range(RUNS):
        answer = installation.trigger(deployed, json={"input_data": {"x": 1}})
        assert answer.status_code == 202
    eventually(messages, lambda count: count == RUNS)
    time.sleep(15)  # in which each run is due several times
    assert messages() == RUNS
    redis.stop()
    redis.start()
    timer = Timer()
    eventually(messages, lambda count: count >= RUNS)
    assert timer.seconds < 20
    time.sleep(5)
    assert messages() <= 2 * RUNS, "two gateways may have looked at the same moment"
    installation.stop()
