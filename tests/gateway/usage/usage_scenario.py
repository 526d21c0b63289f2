"""A user whose deployments are called, and asks for their usage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from gateway.usage.meter import UsageMeter
from gateway.usage.store import UsageStore
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json
from tests.gateway.usage.calls import DeploymentVersion, call

USAGE = "/node/usage/"


class UsageScenario:
    """A user with two deployments that have calls."""

    def __init__(self, in_process_gateway: InProcessGateway, user: httpx.AsyncClient) -> None:
        self.in_process_gateway = in_process_gateway
        self.user = user
        self.profile_id = user.headers["x-test-profile"]
        self.iris = self.wine = ""

    async def open(self) -> None:
        """Deploy."""
        for name in ("iris", "wine"):
            made = await deploy(self.user, flow_json(), name=name)
            setattr(self, name, made["id"])

    async def count(self, deployment: str, *, ago: timedelta = timedelta(), **calls: Any) -> None:
        """Record calls. Any: the arguments of `call`."""
        meter, version = UsageMeter(), calls.pop("version", 1)
        called = DeploymentVersion(id=deployment, version=version, profile_id=self.profile_id)
        call(meter, called, **calls)
        minute_buckets = list(meter.unwritten())
        for bucket in minute_buckets:
            bucket.minute -= int(ago.total_seconds()) // 60 * 60
        await UsageStore(self.in_process_gateway.db).write_calls(
            [bucket.snapshot() for bucket in minute_buckets]
        )

    async def ask(self, **parameters: str) -> list[dict[str, Any]]:
        """Return the items of a usage response. Any: JSON."""
        answer = await self.user.get(USAGE, params=parameters)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items
