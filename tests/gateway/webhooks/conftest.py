"""Fixtures: a gateway that may call loopback, with short retry pauses, and a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.webhooks.harness import WebhookHarness
from tests.gateway.webhooks.receiver import Receiver
from tests.services import npm

_DRAIN_SECONDS = 3.0
"""Time for deliveries in progress at the end of a test, so that connections are closed."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual settings, with loopback and plain HTTP allowed."""
    return settings.model_copy(
        update={
            "webhook_allow": (ip_network("127.0.0.0/8"),),
            "webhook_allow_http": True,
            "webhook_schedule_seconds": (0.0, 0.05, 0.05),
            "webhook_timeout_seconds": 1.0,
            "public_base_url": "https://flows.example.com/",
        }
    )


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm package `standardwebhooks`, installed from its lock file."""
    folder = tmp_path_factory.mktemp("node") / "judge"
    npm.install(Path(__file__).parent / "node", folder)
    return folder


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A process that is sent webhooks."""
    made = Receiver(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def idle_harness(
    in_process_gateway: InProcessGateway, receiver: Receiver
) -> AsyncIterator[WebhookHarness]:
    """A gateway that writes events and sends only test deliveries."""
    opened = WebhookHarness(in_process_gateway, await in_process_gateway.user(), receiver)
    dispatcher = opened.webhook_dispatcher
    dispatcher._options = replace(dispatcher._options, poll_seconds=0.02)
    yield opened
    await opened.webhook_dispatcher.close(_DRAIN_SECONDS)


@pytest.fixture
async def harness(idle_harness: WebhookHarness) -> WebhookHarness:
    """A gateway that also delivers events."""
    idle_harness.webhook_dispatcher.start()
    return idle_harness
