"""A gateway whose deployments have webhooks, with helpers for runs and deliveries."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.run import Claim, NewRun, RunResult
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from gateway.webhooks.dispatcher import WebhookDispatcher
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json
from tests.gateway.runs.builders import COMPLETED
from tests.gateway.webhooks.receiver import Receiver
from tests.timing import TIMEOUT_SECONDS

ENDPOINTS = "/node/webhooks/endpoints/"
DELIVERIES = "/node/webhooks/deliveries/"

# Any, here and below: JSON
Json = dict[str, Any]


class WebhookHarness:
    """An in-process gateway, one of its users, and a receiver process."""

    def __init__(
        self, in_process_gateway: InProcessGateway, user: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        self.in_process_gateway = in_process_gateway
        self.user = user
        self.receiver = receiver
        self.db: Database = in_process_gateway.db
        container = in_process_gateway._container
        self.runs: RunStore = container.execution.store
        self.webhook_dispatcher: WebhookDispatcher = container.webhook_dispatcher

    async def deploy(self, path: str = "ok", **settings: Any) -> Json:
        """Deploy a flow with a webhook to a path of the receiver."""
        made = await deploy(
            self.user,
            flow_json(),
            notification_method="webhook",
            callback_url=self.receiver.url(path),
            **settings,
        )
        assert made["http"] == 201, made
        return made

    def new_run(self, deployment: Json, **changes: Any) -> NewRun:
        """Return a new run of a deployment. Any: the fields of NewRun."""
        fields: dict[str, Any] = {
            "profile_id": self.user.headers["x-test-profile"],
            "deployment_id": deployment["id"],
            "version": 1,
            "flow_id": deployment["flow_id"],
            "mode": ExecutionMode.ASYNC,
            "type": DeploymentType.API,
            "input_data": b"{}",
            "timeout_seconds": 60.0,
            **changes,
        }
        return NewRun(**fields)

    async def begin(self, deployment: Json, **changes: Any) -> Claim:
        """Create and claim a run, as a worker does."""
        new = self.new_run(deployment, **changes)
        await self.runs.create(new)
        claim = await self.runs.claim(new.id, "worker")
        assert claim is not None
        return claim

    async def finish(self, deployment: Json, ending: RunResult = COMPLETED) -> str:
        """Create, claim and finish a run; return its id."""
        claim = await self.begin(deployment)
        assert await self.runs.finish(claim.run_id, claim.attempt, ending)
        return claim.run_id

    async def deliveries(self, **query: Any) -> list[Json]:
        """Return the first page of deliveries."""
        answer = await self.user.get(DELIVERIES, params=query)
        assert answer.status_code == 200, answer.text
        items: list[Json] = answer.json()["items"]
        return items

    async def delivery(self, run_id: str, event: str | None = None) -> Json:
        """Return the only delivery of a run, or the one for an event, with details."""
        query = {"run": run_id, **({"event": event} if event else {})}
        (found,) = await self.deliveries(**query)
        answer = await self.user.get(f"{DELIVERIES}{found['id']}/")
        shown: Json = answer.json()
        return shown

    async def until(self, run_id: str, status: str, event: str | None = None) -> Json:
        """Wait until a delivery has a status; return it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (shown := await self.delivery(run_id, event))["status"] != status:
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.02)
        return shown

    async def endpoint(self, deployment: Json) -> Json:
        """Return a deployment's endpoint."""
        answer = await self.user.get(f"{ENDPOINTS}{deployment['id']}/")
        assert answer.status_code == 200, answer.text
        shown: Json = answer.json()
        return shown

    async def until_endpoint(self, deployment: Json, **members: Any) -> Json:
        """Wait until a deployment's endpoint has these fields; return it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not members.items() <= (shown := await self.endpoint(deployment)).items():
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.02)
        return shown

    async def ask(self, deployment: Json, verb: str, **body: Any) -> httpx.Response:
        """POST to a route of a deployment's endpoint."""
        return await self.user.post(f"{ENDPOINTS}{deployment['id']}/{verb}/", json=body)

    async def patch(self, deployment: Json, **body: Any) -> Json:
        """Change an endpoint."""
        answer = await self.user.patch(f"{ENDPOINTS}{deployment['id']}/", json=body)
        assert answer.status_code == 200, answer.text
        shown: Json = answer.json()
        return shown

    async def change(self, deployment: Json, **settings: Any) -> Json:
        """Change a deployment and refresh the caches."""
        answer = await self.user.patch(f"{DEPLOYMENTS}{deployment['id']}/", json=settings)
        await self.in_process_gateway.feed.poll()
        shown: Json = answer.json()
        return {**shown, "http": answer.status_code}
