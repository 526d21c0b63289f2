"""Fixtures of usage."""

from __future__ import annotations

import pytest

from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.usage.usage_scenario import UsageScenario


@pytest.fixture
async def scenario(in_process_gateway: InProcessGateway) -> UsageScenario:
    """The scenario of user Ada."""
    opened = UsageScenario(in_process_gateway, await in_process_gateway.user())
    await opened.open()
    return opened
