"""The routes of runs in this process, with clients for the users that a test needs."""

from __future__ import annotations

from typing import cast

import httpx

from gateway.app import build_fastapi
from gateway.auth.identity import Scope
from gateway.container import Container
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.run import NewRun
from gateway.settings import Settings
from gateway.storage.tables import Profile
from gateway.web.asgi import App
from gateway.web.middleware import RestMiddleware
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.runs.builders import new_run

RUNS = "/node/flow-runs/"


class RecordingLauncher:
    """A launcher that only records its calls."""

    def __init__(self) -> None:
        self.launched: list[tuple[str, DeploymentType, ExecutionMode]] = []

    def launch(self, run_id: str, type: DeploymentType, mode: ExecutionMode) -> None:  # noqa: A002
        """Record the call."""
        self.launched.append((run_id, type, mode))


class RunsApi:
    """A gateway's management routes and those of runs."""

    def __init__(self, settings: Settings) -> None:
        self._container = Container(settings)
        self.services = self._container.services
        self.db = self._container.db
        self.store = self._container.execution.store
        self.waiter = self._container.execution.waiter
        self.launcher = RecordingLauncher()
        self.service = self._container.runs
        self.service._launch = self.launcher.launch  # nothing executes here
        app = build_fastapi(self._container)
        parser = self._container.parser
        self.app = RestMiddleware(cast("App", app), parser, max_body_bytes=2**20)
        self._clients: list[httpx.AsyncClient] = []

    async def open(self) -> None:
        """Start the waiter."""
        self.waiter.start()

    async def close(self) -> None:
        """Close everything."""
        for client in self._clients:
            await client.aclose()
        await self.waiter.stop()
        await self.services.flow_processes.close()
        await self._container.parser.close()
        await self.db.close()

    async def user(self, email: str = "ada@example.com") -> RunsApiUser:
        """Return a new user with a `manage` key, and a deployment."""
        profile = Profile(email=email, role="admin")
        async with self.db.write() as session:
            session.add(profile)
        issued = await self.services.keys.create(profile.id, name="all", scope=Scope.MANAGE)
        client = self.client(issued.plain)
        return RunsApiUser(self, profile.id, client)

    def client(self, key: str) -> httpx.AsyncClient:
        """Return a client that sends a key."""
        transport = httpx.ASGITransport(app=self.app)
        made = httpx.AsyncClient(
            transport=transport, base_url="http://desk", headers={"x-api-key": key}
        )
        self._clients.append(made)
        return made


class RunsApiUser:
    """A user with an API key."""

    def __init__(self, api: RunsApi, profile_id: str, client: httpx.AsyncClient) -> None:
        self.api = api
        self.profile_id = profile_id
        self.client = client

    async def deployment(self, **settings: str) -> str:
        """Deploy a flow, and return the deployment's id."""
        flow = (await self.client.post("/node/flows/", json=flow_json())).json()
        body = {"flow_id": flow["id"], **settings}
        answer = await self.client.post("/node/deployments/", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def key_for(self, *deployment_ids: str) -> httpx.AsyncClient:
        """Return a client with a new key for only these deployments, and all of their runs."""
        issued = await self.api.services.keys.create(
            self.profile_id, name="some", deployments=deployment_ids, all_runs=True
        )
        return self.api.client(issued.plain)

    async def run(self, deployment_id: str, **changes: object) -> NewRun:
        """Create a run of a deployment."""
        new = new_run(profile_id=self.profile_id, deployment_id=deployment_id, **changes)
        await self.api.store.create(new)
        return new
