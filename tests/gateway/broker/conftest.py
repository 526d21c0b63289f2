from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.broker.broker import Broker
from tests.gateway import brokers


@pytest.fixture(params=["folder", "redis", "amqp"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each kind of broker, with queues of the test's own."""
    with brokers.broker(request.param, tmp_path / "broker") as made:
        yield made
