from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.broker.broker import Broker
from tests.gateway import brokers
from tests.gateway.worker.running import Worker

Start = Callable[..., Worker]

_ON_BOTH = ("every_run_runs_once", "reconnects", "handed_back", "nothing_outlives")
"""What Redis and RabbitMQ do in ways of their own: acknowledging, and delivering again."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the rest to `make test-long` on one of the two servers."""
    callspec = getattr(item, "callspec", None)
    on_redis = callspec is not None and "redis" in callspec.params.values()
    if on_redis and not any(part in item.name for part in _ON_BOTH):
        item.add_marker(pytest.mark.long)


@pytest.fixture(params=["folder", "redis", "amqp"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each kind of broker, with queues of the test's own."""
    with brokers.broker(request.param, tmp_path / "broker") as made:
        yield made


@pytest.fixture(params=["redis", "amqp"])
def server_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """The kinds that can be away."""
    with brokers.broker(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def folder_broker(tmp_path: Path) -> Iterator[Broker]:
    """The broker that needs no server, where it is all the same which it is."""
    with brokers.broker("folder", tmp_path / "broker") as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers, and ends them."""
    workers: list[Worker] = []

    def begin(broker: Broker, *options: str, ready: bool = True, **more: Any) -> Worker:
        worker = Worker(broker, tmp_path, *options, **more)
        workers.append(worker)
        if ready:
            worker.until_printed("ready for")
        return worker

    yield begin
    for worker in workers:
        worker.kill()
