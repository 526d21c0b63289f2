"""A gateway that may call loopback, with a hasty schedule; and a receiver."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.webhooks.harness import WebhookHarness
from tests.gateway.webhooks.receiver import Receiver

_DRAIN_SECONDS = 3.0
"""For what is being sent at a test's end: connections are closed, and not left to the collector."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As the gateway's tests have them, and open to the receiver."""
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
    """A folder with the npm package `standardwebhooks`, installed as its lock says."""
    folder = tmp_path_factory.mktemp("node") / "judge"
    shutil.copytree(Path(__file__).parent / "node", folder)
    install = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=False, capture_output=True
    )
    assert install.returncode == 0, install.stderr.decode()
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
    """A gateway that writes events, and sends none but tests."""
    opened = WebhookHarness(in_process_gateway, await in_process_gateway.user(), receiver)
    yield opened
    await opened.webhook_dispatcher.close(_DRAIN_SECONDS)


@pytest.fixture
async def harness(idle_harness: WebhookHarness) -> WebhookHarness:
    """A gateway that sends them."""
    idle_harness.webhook_dispatcher.start()
    return idle_harness
